//! Signals by number, descriptors all at once, leaving without ceremony.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sends a signal by number, real-time ones too, to the process behind a pidfd.
///
/// # Errors
/// `ESRCH` when it has ended; what else the kernel says.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    // SAFETY: no memory of ours is given to the kernel; a null siginfo means that it fills in its own.
    let done = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_fd().as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor of the process, the standard ones too. Owners of descriptors that live on would close
/// numbers that are not theirs any more, so this takes the rest of the program, which is not to have any.
///
/// # Errors
/// What the kernel says; then `rest` is not called.
pub fn close_all<T>(rest: impl FnOnce() -> T) -> io::Result<T> {
    // SAFETY: closing breaks no memory; `rest` runs with no descriptor open, and its caller promised to go on with
    // none.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) };
    if done == 0 { Ok(rest()) } else { Err(io::Error::last_os_error()) }
}

/// Ends the process by one system call: no destructors, no `atexit`.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}
