//! Writing beneath one folder, without ever following a link on the way.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps, fstatvfs, futimens, linkat, mkdirat,
    openat, openat2, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::archive::CopiedEntry;
use super::error::{CopyError, shown};
use crate::bounds::{COPY_LEAVES, COPY_LEAVES_FILES};

/// Bytes between two looks at how much is free.
const LOOK: u64 = 64 << 20;

/// What stays free of a file system: a share of it, or so much if that is less.
#[derive(Clone, Copy, Debug)]
struct Leaves {
    share: u64,
    bytes: u64,
    files: u64,
}

const LEAVES: Leaves = Leaves { share: 20, bytes: COPY_LEAVES, files: COPY_LEAVES_FILES };

/// The folder.
pub(super) struct Beneath {
    root: OwnedFd,
    leaves: Leaves,
}

impl Beneath {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self { root, leaves: LEAVES }
    }

    /// Makes a folder, with those above it. One that is there stays as it is.
    pub(super) fn folder(&self, path: &[&[u8]], mode: u32) -> Result<(), CopyError> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        let parent = self.parents(parents)?;
        // Whatever its mode: more is to be written into it.
        self.make(&parent, name, 0o700 | mode & 0o777)?;
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
        // Less what the user's umask takes away: what others may do with his files is not the container's to say.
        let mode = Mode::from_raw_mode(entry.mode as RawMode & 0o777);
        let file = openat(&parent, OsStr::from_bytes(name), flags, mode).map_err(&failed)?;
        let mut file = File::from(file);
        loop {
            let mut piece = content.take(LOOK);
            let copied = copy(&mut piece, &mut file, name)?;
            if copied < LOOK {
                break;
            }
            self.room(name)?;
        }
        let time = Timespec { tv_sec: entry.modified, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        futimens(&file, &times).map_err(&failed)
    }

    /// Makes a symbolic link whose target was looked at.
    pub(super) fn symlink(&self, path: &[&[u8]], target: &[u8]) -> Result<(), CopyError> {
        let Some((name, parents)) = path.split_last() else { return Ok(()) };
        let parent = self.parents(parents)?;
        self.room(name)?;
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
        self.room(name.as_bytes())?;
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
        self.make(&parent, last, 0o755)
    }

    /// Makes a folder if it is not there, and opens it.
    fn make(&self, parent: impl AsFd, name: &[u8], mode: u32) -> Result<OwnedFd, CopyError> {
        self.room(name)?;
        let path = OsStr::from_bytes(name);
        match mkdirat(&parent, path, Mode::from_raw_mode(mode as RawMode)) {
            Err(errno) if errno != Errno::EXIST => return Err(CopyError::write(name)(errno)),
            _ => {}
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&parent, path, flags, Mode::empty()).map_err(|errno| on_the_way(name, errno))
    }

    /// Whether one thing more may be made. Folders and links take next to no bytes, but they are files, too.
    fn room(&self, name: &[u8]) -> Result<(), CopyError> {
        let (room, Leaves { share, bytes, files }) =
            (fstatvfs(&self.root).map_err(CopyError::write(name))?, self.leaves);
        let size = |blocks: u64| blocks.saturating_mul(room.f_frsize);
        let is_left = is_left(size(room.f_bavail), size(room.f_blocks), share, bytes)
            // Where files are made of bytes there is no number of them.
            && is_left(room.f_favail, room.f_files, share, files);
        if is_left { Ok(()) } else { Err(CopyError::NoRoom { name: shown(name) }) }
    }
}

/// Whether of `all` enough is free.
fn is_left(free: u64, all: u64, share: u64, most: u64) -> bool {
    free >= most.min(all / share)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_twentieth_stays_free_or_less() {
        let enough = |free, all| is_left(free, all, LEAVES.share, LEAVES.files);
        assert!(enough(50, 1000) && !enough(49, 1000));
        assert!(enough(COPY_LEAVES_FILES, u64::MAX) && !enough(COPY_LEAVES_FILES - 1, u64::MAX));
        assert!(enough(0, 0), "without a number of files");
    }

    #[test]
    fn nothing_is_made_where_no_room_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap()
        };
        fs::write(dir.path().join("there"), "x").unwrap();
        let entry = CopiedEntry { name: b"f".to_vec(), mode: 0o644, ..CopiedEntry::default() };
        let file = |beneath: &Beneath, path: &[&[u8]]| beneath.file(path, &entry, &mut b"x".as_slice());
        // All of it is to stay free, and something is in it already.
        let full = Beneath { root: open(), leaves: Leaves { share: 1, bytes: u64::MAX, files: u64::MAX } };
        for (what, made) in [
            ("folder", full.folder(&[b"f"], 0o755)),
            ("parent", file(&full, &[b"up", b"f"])),
            ("file", file(&full, &[b"f"])),
            ("symlink", full.symlink(&[b"f"], b"there")),
            ("hard link", full.hard_link(&[b"f"], &[b"there"])),
        ] {
            let refused = made.expect_err(what).to_string();
            assert!(refused.contains("there is no room for"), "{what}: {refused}");
        }
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
        // The same of files alone, where the file system has a number of them.
        let room = fstatvfs(open()).unwrap();
        let full = Beneath { root: open(), leaves: Leaves { share: 1, bytes: 0, files: u64::MAX } };
        assert_eq!(full.folder(&[b"f"], 0o755).is_err(), room.f_favail < room.f_files);
    }

    #[test]
    fn others_may_do_what_the_umask_lets_them() {
        let dir = tempfile::tempdir().unwrap();
        let umask = fs::read_to_string("/proc/self/status").unwrap();
        let umask = umask.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim().to_owned();
        let umask = u32::from_str_radix(&umask, 8).unwrap();
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let beneath = Beneath::new(rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap());
        for mode in [0o6777, 0o666, 0o400] {
            let entry = CopiedEntry { name: b"f".to_vec(), mode, ..CopiedEntry::default() };
            beneath.file(&[b"f"], &entry, &mut b"x".as_slice()).unwrap();
            let found = std::os::unix::fs::MetadataExt::mode(&fs::metadata(dir.path().join("f")).unwrap());
            assert_eq!(found & 0o7777, mode & 0o777 & !umask, "{mode:o}");
        }
    }
}
