//! Children that hold one end of a socket and do not outlive who started them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

/// The descriptor that such a child has its socket as.
pub const BOUND_SOCKET: i32 = 3;

/// Starts a command with `socket` as its descriptor [`BOUND_SOCKET`] and no other beside the standard ones. The kernel
/// kills it when the thread that calls this has ended, so that has to be one that waits for it.
///
/// # Errors
/// What the system says, also about the program itself: then nothing was started.
#[expect(clippy::disallowed_methods, reason = "a fork of the daemon, for a few programs of the node in its lifetime")]
pub fn spawn_bound(mut command: Command, socket: impl AsFd) -> io::Result<Child> {
    let socket = rustix::io::fcntl_dupfd_cloexec(socket, BOUND_SOCKET + 1)?;
    // Held, so that nothing that the standard library opens for the start has the number that the child overwrites.
    let _place = rustix::io::fcntl_dupfd_cloexec(&socket, BOUND_SOCKET)?;
    let (from, parent) = (socket.as_raw_fd(), rustix::process::getpid());
    let prepare = move || {
        // SAFETY: a number alone.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // It may have ended before.
        if rustix::process::getppid() != Some(parent) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // SAFETY: the child's own table of descriptors; the number is nobody's, see above.
        if unsafe { libc::dup2(from, BOUND_SOCKET) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // What the daemon itself was started with. Before Linux 5.11 that is left.
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        // SAFETY: as above; what is marked stays open until the program is another one.
        unsafe { libc::syscall(libc::SYS_close_range, BOUND_SOCKET + 1, libc::c_uint::MAX, flags) };
        Ok(())
    };
    // SAFETY: system calls alone: nothing that allocates or locks.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    #[test]
    fn a_child_speaks_on_its_socket_and_has_no_other_descriptor() {
        let (mut ours, its) = UnixStream::pair().unwrap();
        // As a descriptor that the daemon was started with.
        let inherited = rustix::io::fcntl_dupfd_cloexec(&ours, 77).unwrap();
        rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
        let script = "read line <&3; [ -e /proc/self/fd/77 ] && line=\"$line 77\"; echo $line >&3";
        let mut child = spawn_bound(shell(script), &its).unwrap();
        drop((its, inherited));
        ours.write_all(b"hello\n").unwrap();
        let mut said = String::new();
        ours.read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(said, "hello\n");
    }

    #[test]
    fn it_ends_with_the_thread_that_started_it() {
        let (_ours, its) = UnixStream::pair().unwrap();
        let start = move || spawn_bound(shell("exec sleep 1000"), &its).unwrap();
        let mut child = std::thread::spawn(start).join().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(libc::SIGKILL));
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        let (_ours, its) = UnixStream::pair().unwrap();
        let error = spawn_bound(Command::new("/nowhere/program"), &its).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
