//! Pipes through which what a stream has goes to a client's socket: the kernel passes on its pages, and nobody copies
//! them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::super::descriptor::{ReadOutcome, StreamEnd};
use crate::bounds::LARGE_TRANSFER_BYTES;

/// A pipe with room for a large piece. How much is in it is known before a head is written that promises it: of the
/// stream's own pipe its writer could take it back.
#[derive(Debug)]
pub(super) struct CarrierPipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl CarrierPipe {
    pub(super) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&write, LARGE_TRANSFER_BYTES)?;
        Ok(Self { read, write })
    }

    /// Takes in what a stream has, as far as there is room.
    pub(super) fn load(&self, from: &StreamEnd) -> ReadOutcome {
        from.pass_on(&self.write)
    }

    /// Has a socket take some of what is in it.
    pub(super) fn unload(&self, to: &TcpStream, bytes: usize) -> io::Result<usize> {
        to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, bytes, SpliceFlags::NONBLOCK)?))
    }
}
