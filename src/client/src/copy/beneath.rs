//! Writing beneath one folder, without ever following a link on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps, fchmod, fstatvfs, futimens, linkat,
    mkdirat, openat, openat2, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::archive::CopiedEntry;
use super::error::{CopyError, shown};
use crate::bounds::COPY_LEAVES;

/// Bytes between two looks at how much is free.
const LOOK: u64 = 64 << 20;

/// The folder.
pub(super) struct Beneath {
    root: OwnedFd,
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// Makes a folder, with those above it. One that is there stays as it is.
    pub(super) fn folder(&self, path: &[&[u8]], mode: u32) -> Result<(), CopyError> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        let parent = self.parents(parents)?;
        // Whatever its mode: more is to be written into it.
        make(&parent, name, 0o700 | mode & 0o777)?;
        Ok(())
    }

    /// Writes a file, which takes the place of another file or link.
    pub(super) fn file(&self, path: &[&[u8]], entry: &CopiedEntry, content: &mut impl Read) -> Result<(), CopyError> {
        let Some((name, parents)) = path.split_last() else {
            return Err(CopyError::hostile(&entry.name, "is a file where a folder was asked for"));
        };
        let failed = CopyError::write(name);
        let parent = self.parents(parents)?;
        self.room(name)?;
        clear(&parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&parent, OsStr::from_bytes(name), flags, Mode::from_raw_mode(0o600)).map_err(&failed)?;
        let mut file = File::from(file);
        loop {
            let mut piece = content.take(LOOK);
            let copied = copy(&mut piece, &mut file, name)?;
            if copied < LOOK {
                break;
            }
            self.room(name)?;
        }
        fchmod(&file, Mode::from_raw_mode(entry.mode as RawMode & 0o777)).map_err(&failed)?;
        let time = Timespec { tv_sec: entry.modified, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        futimens(&file, &times).map_err(&failed)
    }

    /// Makes a symbolic link whose target was looked at.
    pub(super) fn symlink(&self, path: &[&[u8]], target: &[u8]) -> Result<(), CopyError> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        let parent = self.parents(parents)?;
        clear(&parent, name)?;
        symlinkat(OsStr::from_bytes(target), &parent, OsStr::from_bytes(name)).map_err(CopyError::write(name))
    }

    /// Gives a file that was written before another name.
    pub(super) fn hard_link(&self, path: &[&[u8]], target: &[&[u8]]) -> Result<(), CopyError> {
        let (Some((name, parents)), Some((old, old_parents))) = (path.split_last(), target.split_last()) else {
            return Ok(());
        };
        let (parent, old_parent) = (self.parents(parents)?, self.parents(old_parents)?);
        let (name, old) = (OsStr::from_bytes(name), OsStr::from_bytes(old));
        let found = statat(&old_parent, old, AtFlags::SYMLINK_NOFOLLOW).map_err(CopyError::write(name.as_bytes()))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            // A symbolic link in another folder would lead elsewhere.
            return Err(CopyError::hostile(name.as_bytes(), "is another name of what is no file"));
        }
        clear(&parent, name.as_bytes())?;
        linkat(&old_parent, old, &parent, name, AtFlags::empty()).map_err(CopyError::write(name.as_bytes()))
    }

    /// The folder that these lead to, made where it is missing.
    fn parents(&self, path: &[&[u8]]) -> Result<OwnedFd, CopyError> {
        let whole = path.join(&b'/');
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let wanted: &[u8] = if whole.is_empty() { b"." } else { &whole };
        match openat2(&self.root, OsStr::from_bytes(wanted), flags, Mode::empty(), beneath) {
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(on_the_way(&whole, errno)),
            Ok(folder) => return Ok(folder),
        }
        let Some((last, before)) = path.split_last() else { return Err(on_the_way(b".", Errno::NOENT)) };
        let parent = self.parents(before)?;
        make(&parent, last, 0o755)
    }

    fn room(&self, name: &[u8]) -> Result<(), CopyError> {
        let room = fstatvfs(&self.root).map_err(CopyError::write(name))?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        let least = COPY_LEAVES.min(room.f_blocks.saturating_mul(room.f_frsize) / 20);
        if free < least { Err(CopyError::NoRoom { name: shown(name) }) } else { Ok(()) }
    }
}

/// Copies all; an error of the reader is the archive's.
fn copy(from: &mut impl Read, to: &mut File, name: &[u8]) -> Result<u64, CopyError> {
    let (mut buffer, mut copied) = (vec![0; 64 << 10], 0);
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Archive(error)),
        };
        to.write_all(&buffer[..count]).map_err(|source| CopyError::Write { name: shown(name), source })?;
        copied += count as u64;
    }
}

fn on_the_way(name: &[u8], errno: Errno) -> CopyError {
    let why = match errno {
        Errno::LOOP => "a symbolic link is on the way, and nothing is written through one",
        Errno::NOTDIR => "a file is where a folder has to be",
        _ => return CopyError::write(name)(errno),
    };
    CopyError::InTheWay { name: shown(name), why }
}

/// Makes a folder if it is not there, and opens it.
fn make(parent: impl AsFd, name: &[u8], mode: u32) -> Result<OwnedFd, CopyError> {
    let path = OsStr::from_bytes(name);
    match mkdirat(&parent, path, Mode::from_raw_mode(mode as RawMode)) {
        Err(errno) if errno != Errno::EXIST => return Err(CopyError::write(name)(errno)),
        _ => {}
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(&parent, path, flags, Mode::empty()).map_err(|errno| on_the_way(name, errno))
}

/// Removes a file or a link that is in the way. A device is left alone: who copies to /dev/null means another thing.
fn clear(parent: impl AsFd, name: &[u8]) -> Result<(), CopyError> {
    let path = OsStr::from_bytes(name);
    let found = match statat(&parent, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => FileType::from_raw_mode(found.map_err(CopyError::write(name))?.st_mode),
    };
    let why = match found {
        FileType::RegularFile | FileType::Symlink => {
            return unlinkat(&parent, path, AtFlags::empty()).map_err(CopyError::write(name));
        }
        FileType::Directory => "it is a folder",
        _ => "it is a device, a pipe or a socket, which is left alone",
    };
    Err(CopyError::InTheWay { name: shown(name), why })
}
