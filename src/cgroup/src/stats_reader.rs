//! Reads many files of one group, all through one buffer.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::bounds::STATS_FILE_BYTES;
use crate::interface_files::InterfaceFiles;
use crate::open_folders::{OpenFolders, is_missing};
use crate::{GroupError, parse};

const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

/// A group's open folders, and the buffer.
pub(crate) struct StatsReader<'g> {
    group: &'g mut OpenFolders,
    buffer: Vec<u8>,
}

impl<'g> StatsReader<'g> {
    pub(crate) fn new(group: &'g mut OpenFolders) -> Self {
        Self { group, buffer: Vec::with_capacity(8 << 10) }
    }

    pub(crate) fn group(&self) -> &InterfaceFiles {
        self.group.files()
    }

    /// Text of a file, its first [`STATS_FILE_BYTES`] by whole lines; `None` where the controller, the group or the
    /// file is missing, and where the kernel does not tell.
    pub(crate) fn text(&mut self, controller: &'static str, name: &str) -> Result<Option<&str>, GroupError> {
        let read = self.read(controller, name);
        self.told(read.map(|file| file.is_some()), controller, name)
    }

    /// The same of the file that tells processor time, which stays open.
    pub(crate) fn clock(&mut self, controller: &'static str, name: &str) -> Result<Option<&str>, GroupError> {
        let Self { group, buffer } = self;
        let read = match group.clock() {
            Some(file) => read_all(file, buffer).map(|()| true),
            None => self.read(controller, name).map(|file| file.map(|file| self.group.keep_clock(file)).is_some()),
        };
        self.told(read, controller, name)
    }

    /// What is in the buffer, if anything was `read`.
    fn told(&mut self, read: Result<bool, Errno>, controller: &str, name: &str) -> Result<Option<&str>, GroupError> {
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(errno) if is_missing(errno) => return Ok(None),
            Err(errno) => {
                let path = self.group().file(controller, name).unwrap_or_default();
                return Err(GroupError::of("read", &path)(errno.into()));
            }
        }
        if self.buffer.len() >= STATS_FILE_BYTES {
            let whole = self.buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.buffer.truncate(whole);
        }
        // The kernel writes ASCII.
        Ok(std::str::from_utf8(&self.buffer).ok())
    }

    /// Fills the buffer. None where the controller or the group is missing.
    fn read(&mut self, controller: &'static str, name: &str) -> Result<Option<OwnedFd>, Errno> {
        let Some(tree) = self.group.files().trees().position(controller) else { return Ok(None) };
        let Some(folder) = self.group.folder(tree)? else { return Ok(None) };
        let file = rustix::fs::openat(folder, name, FILE, Mode::empty())?;
        read_all(&file, &mut self.buffer)?;
        Ok(Some(file))
    }

    /// Whether the group has no others below it, in the tree of a controller: a folder's links are those of its own,
    /// and one of each folder in it.
    pub(crate) fn has_none_below(&mut self, controller: &'static str) -> Result<bool, GroupError> {
        let path = self.group().dir(controller).unwrap_or_default();
        let failed = |errno: Errno| GroupError::of("look at", &path)(errno.into());
        let Some(tree) = self.group().trees().position(controller) else { return Ok(false) };
        let Some(folder) = self.group.folder(tree).map_err(failed)? else { return Ok(false) };
        Ok(rustix::fs::fstat(folder).map_err(failed)?.st_nlink == 2)
    }

    /// The number of a file that has one.
    pub(crate) fn number(&mut self, controller: &'static str, name: &str) -> Result<Option<u64>, GroupError> {
        Ok(self.text(controller, name)?.and_then(parse::number))
    }
}

/// Reads a file from its beginning, up to [`STATS_FILE_BYTES`].
fn read_all(file: &OwnedFd, buffer: &mut Vec<u8>) -> Result<(), Errno> {
    buffer.clear();
    while buffer.len() < STATS_FILE_BYTES {
        buffer.reserve(4 << 10);
        let (room, at) = (buffer.capacity() - buffer.len(), buffer.len());
        match rustix::io::pread(file, rustix::buffer::spare_capacity(buffer), at.try_into().unwrap_or(u64::MAX)) {
            // The kernel makes the whole text at the first read, and gives all that there is room for.
            Ok(read) if read < room => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
