//! A terminal: the runtime makes it inside the container and sends its master end through a socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::error::Error;

/// The socket that the runtime sends the terminal to.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Its path for the runtime: through our descriptor of the directory, as a socket's path has but 107 bytes.
    given: PathBuf,
    _dir: OwnedFd,
}

impl ConsoleSocket {
    pub(crate) fn bind(dir: &Path, name: &str) -> Result<Self, Error> {
        let path = dir.join(name);
        let fail = |source| Error::Io { action: "make", path: path.clone(), source };
        let fd = open(dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let fd = fd.map_err(|errno| fail(errno.into()))?;
        let given = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd())).join(name);
        let listener = UnixListener::bind(&given).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        Ok(Self { listener, path, given, _dir: fd })
    }

    /// For the runtime's command line.
    pub(crate) fn for_runtime(&self) -> &Path {
        &self.given
    }

    /// The terminal's master end. The runtime has ended, and sends it before that: what is not here does not come.
    pub(crate) fn receive(&self) -> Result<OwnedFd, Error> {
        let received = self.listener.accept().and_then(|(stream, _)| take(&stream)).map_err(|error| {
            let none = error.kind() == io::ErrorKind::WouldBlock;
            if none { io::Error::other("the OCI runtime has ended without sending one") } else { error }
        });
        received.map_err(|source| Error::Io { action: "receive a terminal at", path: self.path.clone(), source })
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn take(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(stream, &mut [io::IoSliceMut::new(&mut name)], &mut control, flags)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came with it"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    #[test]
    fn what_is_not_there_does_not_come() {
        let dir = tempfile::tempdir().unwrap();
        let error = || ConsoleSocket::bind(dir.path(), "s").unwrap().receive().unwrap_err().to_string();
        assert!(error().contains("without sending one"), "{}", error());
        let socket = ConsoleSocket::bind(dir.path(), "s").unwrap();
        for (sent, wanted) in [("", "without sending one"), ("name", "no descriptor came with it")] {
            let mut runtime = UnixStream::connect(dir.path().join("s")).unwrap();
            runtime.write_all(sent.as_bytes()).unwrap();
            let error = socket.receive().unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn what_was_sent_is_there_although_its_sender_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let socket = ConsoleSocket::bind(dir.path(), "s").unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        {
            let runtime = UnixStream::connect(dir.path().join("s")).unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [std::os::fd::AsFd::as_fd(&ours)];
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            sendmsg(&runtime, &[io::IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::empty()).unwrap();
        }
        let received = UnixStream::from(socket.receive().unwrap());
        drop(ours);
        theirs.write_all(b"x").unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut &received, &mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
