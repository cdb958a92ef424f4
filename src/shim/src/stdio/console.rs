//! A terminal: the runtime makes it inside the container and sends its master end through a socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::error::Error;

/// The runtime has sent it by the time it ends.
const LIMIT: Duration = Duration::from_secs(10);

/// The socket that the runtime sends the terminal to.
#[derive(Debug)]
pub(crate) struct ConsoleSocket {
    listener: tokio::net::UnixListener,
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
        let listener = tokio::net::UnixListener::from_std(listener).map_err(fail)?;
        Ok(Self { listener, path, given, _dir: fd })
    }

    /// For the runtime's command line.
    pub(crate) fn for_runtime(&self) -> &Path {
        &self.given
    }

    /// The terminal's master end.
    pub(crate) async fn receive(&self) -> Result<OwnedFd, Error> {
        let fail = |source| Error::Io { action: "receive a terminal at", path: self.path.clone(), source };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let receive = async {
            let (stream, _) = self.listener.accept().await?;
            loop {
                stream.readable().await?;
                match stream.try_io(tokio::io::Interest::READABLE, || take(&stream)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            }
        };
        tokio::time::timeout(LIMIT, receive).await.unwrap_or_else(|_| Err(late())).map_err(fail)
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn take(stream: &tokio::net::UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    recvmsg(stream, &mut [io::IoSliceMut::new(&mut name)], &mut control, flags)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fd.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no descriptor came with it"))
}
