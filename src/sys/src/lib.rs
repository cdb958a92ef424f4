//! The only room with `unsafe`: what nix and rustix lack, behind functions that can't be misused.

mod attributes;
mod bounds;
mod clock;
mod fail;
mod memory;
mod mount;
mod process;
mod seccomp;
mod spawn;
mod tree;

pub use attributes::{
    default_signals, keep_descriptors_from_children, reset_attributes, without_inherited_descriptors,
};
pub use bounds::TREE_OPEN_FOLDERS;
pub use clock::boottime_ns;
pub use fail::fail_point;
pub use memory::{free_memory, give_back_free_memory, keep_no_large_memory};
pub use mount::make_read_only;
pub use process::{close_all, exit_now, send_signal};
pub use seccomp::allow_only;
pub use spawn::{Born, Program};
pub use tree::{NotRemoved, Trash, Usage, remove_tree, remove_tree_at, usage};

#[cfg(test)]
mod tests;
