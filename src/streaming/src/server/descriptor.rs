//! An end of a process's stream or of a pod's connection, as a shim has handed it over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::Shutdown;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A pipe's end, a terminal or a socket.
#[derive(Debug)]
pub(super) struct StreamEnd(AsyncFd<OwnedFd>);

/// What reading has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// So many.
    Bytes(usize),
    /// Nothing is there yet.
    Nothing,
    /// Nothing will come any more.
    End,
    /// Nothing can come any more: the other end was torn away.
    Broken,
}

/// What writing has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteOutcome {
    /// So many were taken.
    Bytes(usize),
    /// None is taken yet.
    Full,
    /// None will be taken any more.
    Closed,
}

impl StreamEnd {
    /// Takes care that it never blocks.
    pub(super) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        peapod_sys::watched(descriptor).map(Self)
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error shows again when it is read.
        self.0.poll_read_ready(cx).map(drop)
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_write_ready(cx).map(drop)
    }

    /// Appends what is there, as far as there is room behind what the buffer holds.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        let read =
            self.0.try_io(Interest::READABLE, |descriptor| Ok(rustix::io::read(descriptor, spare_capacity(buffer))?));
        match read {
            Ok(0) => ReadOutcome::End,
            Ok(count) => ReadOutcome::Bytes(count),
            Err(error) if is_too_early(&error) => ReadOutcome::Nothing,
            // The last holder of a terminal's other side has closed it.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => ReadOutcome::End,
            Err(_) => ReadOutcome::Broken,
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> WriteOutcome {
        match self.0.try_io(Interest::WRITABLE, |descriptor| Ok(rustix::io::write(descriptor, bytes)?)) {
            Ok(count) => WriteOutcome::Bytes(count),
            Err(error) if is_too_early(&error) => WriteOutcome::Full,
            Err(_) => WriteOutcome::Closed,
        }
    }

    /// Tells a socket's other end that nothing more will be written. With others closing does.
    pub(super) fn end_writing(&self) {
        // What is no socket, or is closed already, needs nothing.
        let _ = rustix::net::shutdown(self.0.get_ref().as_fd(), Shutdown::Write);
    }
}

/// By its kind: tokio says it too, without a number.
fn is_too_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
