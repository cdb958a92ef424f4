//! An end of a process's stream or of a pod's connection, as a shim has handed it over.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::Shutdown;
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::OwnedSemaphorePermit;

use crate::bounds::{LARGE_TRANSFER_BYTES, TRANSFER_BYTES};

/// A pipe's end, a terminal or a socket.
#[derive(Debug)]
pub(super) struct StreamEnd {
    descriptor: AsyncFd<OwnedFd>,
    /// The right to large pieces; none if it can't have them.
    large: OnceCell<Option<OwnedSemaphorePermit>>,
}

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
        Ok(Self { descriptor: peapod_sys::watched(descriptor)?, large: OnceCell::new() })
    }

    /// More of it is read at once from then on. A pipe is made larger: as nobody's, it gets that only while all pipes
    /// of the node's root together are within the kernel's limit for who has no privilege. A terminal never has much.
    pub(super) fn enlarge(&self, right: OwnedSemaphorePermit) {
        self.large.get_or_init(|| {
            let is = is_socket(&self.descriptor)
                || rustix::pipe::fcntl_setpipe_size(&self.descriptor, LARGE_TRANSFER_BYTES).is_ok();
            is.then_some(right)
        });
    }

    /// It is a pipe or a socket that has much.
    pub(super) fn is_large(&self) -> bool {
        matches!(self.large.get(), Some(Some(_)))
    }

    /// It was never tried.
    pub(super) fn may_be_enlarged(&self) -> bool {
        self.large.get().is_none()
    }

    /// How much is read of it at once, at most.
    pub(super) fn piece(&self) -> usize {
        if self.is_large() { LARGE_TRANSFER_BYTES } else { TRANSFER_BYTES }
    }

    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error shows again when it is read.
        self.descriptor.poll_read_ready(cx).map(drop)
    }

    pub(super) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.descriptor.poll_write_ready(cx).map(drop)
    }

    /// Appends what is there, as far as there is room behind what the buffer holds.
    pub(super) fn read(&self, buffer: &mut Vec<u8>) -> ReadOutcome {
        self.take(|descriptor| Ok(rustix::io::read(descriptor, spare_capacity(buffer))?))
    }

    /// Moves what is there into a pipe that is empty, without reading it.
    pub(super) fn pass_on(&self, to: &OwnedFd) -> ReadOutcome {
        let bytes = self.piece();
        self.take(|descriptor| Ok(splice(descriptor, None, to, None, bytes, SpliceFlags::NONBLOCK)?))
    }

    fn take(&self, take: impl FnOnce(&OwnedFd) -> io::Result<usize>) -> ReadOutcome {
        match self.descriptor.try_io(Interest::READABLE, take) {
            Ok(0) => ReadOutcome::End,
            Ok(count) => ReadOutcome::Bytes(count),
            Err(error) if is_too_early(&error) => ReadOutcome::Nothing,
            // The last holder of a terminal's other side has closed it.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => ReadOutcome::End,
            Err(_) => ReadOutcome::Broken,
        }
    }

    pub(super) fn write(&self, bytes: &[u8]) -> WriteOutcome {
        match self.descriptor.try_io(Interest::WRITABLE, |descriptor| Ok(rustix::io::write(descriptor, bytes)?)) {
            Ok(count) => WriteOutcome::Bytes(count),
            Err(error) if is_too_early(&error) => WriteOutcome::Full,
            Err(_) => WriteOutcome::Closed,
        }
    }

    /// Tells a socket's other end that nothing more will be written. With others closing does.
    pub(super) fn end_writing(&self) {
        // What is no socket, or is closed already, needs nothing.
        let _ = rustix::net::shutdown(self.descriptor.get_ref().as_fd(), Shutdown::Write);
    }
}

fn is_socket(descriptor: impl AsFd) -> bool {
    rustix::fs::fstat(descriptor).is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_socket())
}

/// By its kind: tokio says it too, without a number.
fn is_too_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
