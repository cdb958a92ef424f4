//! Reads many files of one group: its folder in each tree is looked up once, and all files go through one buffer.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::bounds::STATS_FILE_BYTES;
use crate::interface_files::InterfaceFiles;
use crate::{GroupError, parse};

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);

/// The open folders of a group, and the buffer.
pub(crate) struct StatsReader<'g> {
    group: &'g InterfaceFiles,
    /// By controller.
    folders: Vec<(&'static str, Option<OwnedFd>)>,
    buffer: Vec<u8>,
}

impl<'g> StatsReader<'g> {
    pub(crate) fn new(group: &'g InterfaceFiles) -> Self {
        Self { group, folders: Vec::new(), buffer: Vec::with_capacity(8 << 10) }
    }

    /// Text of a file, its first [`STATS_FILE_BYTES`] by whole lines; `None` where the controller, the group or the
    /// file is missing, and where the kernel does not tell.
    pub(crate) fn text(&mut self, controller: &'static str, name: &str) -> Result<Option<&str>, GroupError> {
        let group = self.group;
        let failed = |errno: Errno| {
            let path = group.file(controller, name).unwrap_or_default();
            GroupError::of("read", &path)(errno.into())
        };
        let known = self.folders.iter().position(|(of, _)| *of == controller);
        let at = match known {
            Some(at) => at,
            None => {
                let open = |dir| match rustix::fs::openat(CWD, &dir, FOLDER, Mode::empty()) {
                    Err(errno) if is_missing(errno) => Ok(None),
                    other => other.map(Some),
                };
                let folder = group.dir(controller).map_or(Ok(None), open).map_err(failed)?;
                self.folders.push((controller, folder));
                self.folders.len() - 1
            }
        };
        let Some((_, Some(folder))) = self.folders.get(at) else { return Ok(None) };
        self.buffer.clear();
        let file = match rustix::fs::openat(folder, name, FILE, Mode::empty()) {
            Err(errno) if is_missing(errno) => return Ok(None),
            other => other.map_err(failed)?,
        };
        while self.buffer.len() < STATS_FILE_BYTES {
            self.buffer.reserve(4 << 10);
            let room = self.buffer.capacity() - self.buffer.len();
            match rustix::io::read(&file, rustix::buffer::spare_capacity(&mut self.buffer)) {
                // The kernel makes the whole text at the first read, and gives all that there is room for.
                Ok(read) if read < room => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) if is_missing(errno) => return Ok(None),
                Err(errno) => return Err(failed(errno)),
            }
        }
        if self.buffer.len() >= STATS_FILE_BYTES {
            let whole = self.buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.buffer.truncate(whole);
        }
        // The kernel writes ASCII.
        Ok(std::str::from_utf8(&self.buffer).ok())
    }

    /// Whether the group has no others below it, in the tree of a controller whose files were read: a folder's links
    /// are those of its own, and one of each folder in it.
    pub(crate) fn has_none_below(&mut self, controller: &'static str) -> Result<bool, GroupError> {
        let folder = self.folders.iter().find(|(of, _)| *of == controller);
        let Some((_, Some(folder))) = folder else { return Ok(false) };
        let found = rustix::fs::fstat(folder);
        let path = || self.group.dir(controller).unwrap_or_default();
        Ok(found.map_err(|errno| GroupError::of("look at", &path())(errno.into()))?.st_nlink == 2)
    }

    /// The number of a file that has one.
    pub(crate) fn number(&mut self, controller: &'static str, name: &str) -> Result<Option<u64>, GroupError> {
        Ok(self.text(controller, name)?.and_then(parse::number))
    }
}

/// The file, or the group under it, is not there; or the kernel was told not to count that (pressure).
fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP)
}
