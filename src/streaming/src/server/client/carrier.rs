//! Pipes through which what a stream has goes to a client's socket: the kernel passes on its pages, and nobody copies
//! them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::super::descriptor::{ReadOutcome, StreamEnd};
use crate::bounds::LARGE_TRANSFER_BYTES;

/// A pipe with room for a large piece. How much is in it is known before a head is written that promises it: of the
/// stream's own pipe its writer could take it back. (Memory that a writer lent to its pipe with vmsplice(2) stays lent
/// until the client has it: who changes it before changes what the client gets.)
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

    /// Whether nothing is in it. What failed to be written to a stream's pipe may take room in there and have no bytes,
    /// before Linux 6.15, and comes along: room that the next stream would lack.
    pub(super) fn is_empty(&self) -> bool {
        rustix::io::read(&self.read, &mut [0; 1]) == Err(Errno::AGAIN)
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

#[cfg(test)]
mod tests {
    use super::super::buffers::TransferBuffers;
    use super::*;

    #[test]
    fn a_pipe_that_is_not_empty_is_nobody_elses() {
        let buffers = TransferBuffers::new();
        let is_the_same = |pipe: &CarrierPipe, inode| rustix::fs::fstat(&pipe.read).unwrap().st_ino == inode;
        let pipe = CarrierPipe::new().unwrap();
        let inode = rustix::fs::fstat(&pipe.read).unwrap().st_ino;
        buffers.keep_carrier(pipe);
        let pipe = buffers.take_carrier().unwrap();
        assert!(is_the_same(&pipe, inode) && pipe.is_empty());
        rustix::io::write(&pipe.write, b"left").unwrap();
        buffers.keep_carrier(pipe);
        let other = buffers.take_carrier().unwrap();
        assert!(!is_the_same(&other, inode) && other.is_empty());
    }
}
