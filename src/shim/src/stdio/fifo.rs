//! FIFOs that the master made.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;

use crate::error::Error;

/// For a process to write to. Never waits for a reader.
pub(crate) fn for_writing(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let opened = match open(path, flags | OFlags::NONBLOCK, Mode::empty()) {
        // Nobody reads yet. While one of ours reads too, a writer gets in.
        Err(Errno::NXIO) => both(path).and_then(|_reader| open(path, flags | OFlags::NONBLOCK, Mode::empty())),
        other => other,
    };
    let fd = opened.map_err(Error::errno("open", path))?;
    fcntl_setfl(&fd, OFlags::empty()).map_err(Error::errno("open", path))?;
    Ok(fd)
}

/// For a process to read from: its end, and one of ours that keeps the FIFO from ending before the master says so.
pub(crate) fn for_reading(path: &Path) -> Result<(OwnedFd, OwnedFd), Error> {
    let keep = both(path).map_err(Error::errno("open", path))?;
    let read = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(Error::errno("open", path))?;
    Ok((read, keep))
}

fn both(path: &Path) -> Result<OwnedFd, Errno> {
    open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}
