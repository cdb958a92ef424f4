//! The only room with `unsafe`: what nix and rustix lack, behind functions that can't be misused.

mod clock;
mod fail;
mod mount;
mod process;
mod seccomp;
mod spawn;

pub use clock::boottime_ns;
pub use fail::fail_point;
pub use mount::make_read_only;
pub use process::{close_all, exit_now, send_signal};
pub use seccomp::allow_only;
pub use spawn::{Born, Program};

#[cfg(test)]
mod tests;
