//! Descriptors that never block, and that tasks wait for.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tokio::io::unix::AsyncFd;

/// Has reads and writes return at once: of all descriptors, also in other processes, of what was opened once. By
/// fcntl, as the streaming server may make no ioctl.
///
/// # Errors
/// What the kernel says.
pub fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&descriptor)?;
    Ok(fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?)
}

/// Readies a descriptor for waiting: it [never blocks](set_nonblocking) from here on.
///
/// # Errors
/// What the kernel says, as that a file of that kind can't be waited for.
///
/// # Panics
/// Outside of a runtime of tokio's that does I/O.
pub fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    set_nonblocking(&descriptor)?;
    // SAFETY: It is open as long as there is an `OwnedFd` of it, which is in there from here on; and that has one
    // number.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn who_waits_is_told_and_who_reads_is_not_held_up() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let read = watched(read).unwrap();
        assert_eq!(rustix::io::read(read.get_ref(), &mut [0; 1]), Err(Errno::AGAIN));
        rustix::io::write(&write, b"x").unwrap();
        let _ready = read.readable().await.unwrap();
        assert_eq!(rustix::io::read(read.get_ref(), &mut [0; 2]), Ok(1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_cannot_be_waited_for_is_refused() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(watched(file.into()).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }
}
