//! Applying an archive, entry by entry, to an empty directory.

use super::archive::{Archive, ArchiveEntry, Kind, Region};
use super::error::{ArchiveError, EntryError};
use super::implicit::Writer;
use super::meta;
use super::meter::{BLOCK, Meter, from_reader};
use super::name::{Name, WhiteoutMark, mark};
use super::tree::{ApplyError, Present, Tree, present, set_opaque};
use crate::bounds::PATH;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

const BUFFER: usize = 128 << 10;

/// Unpacks everything that `archive` brings into the empty directory `root`, and gives back what follows it.
pub(super) fn apply<R: Read>(
    archive: R,
    root: OwnedFd,
    implicit: Writer,
    meter: &Rc<Meter>,
) -> Result<R, ArchiveError> {
    let disk = |error: Errno| ApplyError::from(error).about(b"");
    let tree = Tree::new(root, Rc::clone(meter)).map_err(disk)?;
    let mut applier = Applier { tree, buffer: vec![0; BUFFER] };
    let mut archive = Archive::new(archive);
    while let Some(entry) = archive.next()? {
        meter.entry()?;
        applier.apply(&mut archive, &entry).map_err(|error| error.about(&entry.name))?;
    }
    applier.tree.finish(implicit)?;
    Ok(archive.into_rest())
}

struct Applier {
    tree: Tree,
    buffer: Vec<u8>,
}

impl Applier {
    fn apply(&mut self, content: &mut impl Read, entry: &ArchiveEntry) -> Result<(), ApplyError> {
        let name = Name::parse(&entry.name)?;
        let Some((dir, last)) = name.split() else { return self.root(entry) };
        match mark(last)? {
            WhiteoutMark::Ignored => return Ok(()),
            WhiteoutMark::Opaque => {
                let dir = self.tree.directory(dir)?;
                return Ok(set_opaque(dir, b"")?);
            }
            WhiteoutMark::Whiteout(hidden) => return self.whiteout(dir, hidden),
            WhiteoutMark::None => {}
        }
        match entry.kind {
            Kind::File => self.file(content, entry, dir, last),
            Kind::Directory => self.directory(entry, dir, last),
            Kind::Symlink => {
                let target = entry.target.as_slice();
                if target.is_empty() || target.contains(&0) {
                    return Err(EntryError::Name.into());
                }
                if target.len() > PATH {
                    return Err(EntryError::Long.into());
                }
                self.tree.bytes(BLOCK)?;
                self.make(entry, dir, last, |at| rustix::fs::symlinkat(target, at, last))
            }
            Kind::HardLink => self.hard_link(&entry.target, &name),
            Kind::CharDevice => self.device(entry, FileType::CharacterDevice, dir, last),
            Kind::BlockDevice => self.device(entry, FileType::BlockDevice, dir, last),
            Kind::Fifo => {
                self.make(entry, dir, last, |at| rustix::fs::mknodat(at, last, FileType::Fifo, Mode::empty(), 0))
            }
        }
    }

    /// The archive describes the layer's root itself. Nothing else can be made there: containerd passes over it too.
    fn root(&mut self, entry: &ArchiveEntry) -> Result<(), ApplyError> {
        if entry.kind != Kind::Directory {
            return Ok(());
        }
        self.attributes(entry)?;
        meta::apply(entry, self.tree.root())?;
        self.tree.root_described(entry.times());
        Ok(())
    }

    fn whiteout(&mut self, dir_path: &[u8], hidden: &[u8]) -> Result<(), ApplyError> {
        let dir = self.tree.directory(dir_path)?;
        match present(dir, hidden)? {
            // What this layer itself brings stays; only what is below is hidden.
            Present::Directory => set_opaque(dir, hidden)?,
            Present::Whiteout | Present::Symlink | Present::Other => {}
            Present::Nothing => {
                self.tree.inode(hidden)?;
                let dir = self.tree.directory(dir_path)?;
                rustix::fs::mknodat(dir, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, entry: &ArchiveEntry, dir: &[u8], last: &[u8]) -> Result<(), ApplyError> {
        self.attributes(entry)?;
        let (made, before) = self.tree.describe(dir, last, entry.times())?;
        meta::apply(entry, &made)?;
        if before == Present::Whiteout {
            set_opaque(&made, b"")?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        content: &mut impl Read,
        entry: &ArchiveEntry,
        dir: &[u8],
        last: &[u8],
    ) -> Result<(), ApplyError> {
        self.attributes(entry)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = self.create(dir, last, |at| rustix::fs::openat(at, last, flags, Mode::from_raw_mode(0o600)))?;
        let mut made = File::from(made);
        match &entry.sparse {
            None => {
                let written = self.copy(content, &mut made, &entry.name, u64::MAX)?;
                self.tree.bytes(written.next_multiple_of(BLOCK) - written)?;
            }
            Some(sparse) => {
                self.tree.meter.size(sparse.size)?;
                for Region { offset, length } in &sparse.regions {
                    made.seek(SeekFrom::Start(*offset)).map_err(|source| on_disk(source, &entry.name))?;
                    let written = self.copy(content, &mut made, &entry.name, *length)?;
                    // A region may begin and end within a block.
                    self.tree.bytes((written + 2 * BLOCK).next_multiple_of(BLOCK) - written)?;
                }
                made.set_len(sparse.size).map_err(|source| on_disk(source, &entry.name))?;
            }
        }
        meta::apply(entry, &made)?;
        Ok(rustix::fs::futimens(&made, &entry.times())?)
    }

    /// Copies up to `most` bytes; answers how many there were.
    fn copy(&mut self, content: &mut impl Read, made: &mut File, name: &[u8], most: u64) -> Result<u64, ApplyError> {
        let mut written = 0;
        while written < most {
            let room = usize::try_from(most - written).unwrap_or(usize::MAX).min(BUFFER);
            let count = content.read(&mut self.buffer[..room]).map_err(from_reader)?;
            if count == 0 {
                break;
            }
            self.tree.bytes(count as u64)?;
            made.write_all(&self.buffer[..count]).map_err(|source| on_disk(source, name))?;
            written += count as u64;
        }
        Ok(written)
    }

    fn hard_link(&mut self, target: &[u8], name: &Name) -> Result<(), ApplyError> {
        let target = Name::parse(target)?;
        let (Some((from_path, from)), Some((to_path, to))) = (target.split(), name.split()) else {
            return Err(EntryError::HardLinkMissing.into());
        };
        let source = match self.tree.open(from_path) {
            Err(ApplyError::Disk(Errno::NOENT) | ApplyError::Refused(_)) => {
                return Err(EntryError::HardLinkMissing.into());
            }
            other => other?,
        };
        if matches!(present(&source, from)?, Present::Nothing | Present::Directory | Present::Whiteout) {
            return Err(EntryError::HardLinkMissing.into());
        }
        self.tree.meter.name(to.len())?;
        // Not through a link: the link itself gets the second name.
        let link = |at: BorrowedFd<'_>| rustix::fs::linkat(&source, from, at, to, AtFlags::empty());
        match link(self.tree.directory(to_path)?) {
            Err(Errno::EXIST) if is_same((&source, from), (self.tree.directory(to_path)?, to))? => Ok(()),
            Err(Errno::EXIST) => {
                self.tree.clear(to_path, to)?;
                Ok(link(self.tree.directory(to_path)?)?)
            }
            other => Ok(other?),
        }
    }

    fn device(&mut self, entry: &ArchiveEntry, kind: FileType, dir: &[u8], last: &[u8]) -> Result<(), ApplyError> {
        let (major, minor) = entry.device.ok_or(EntryError::Number)?;
        let device = rustix::fs::makedev(major, minor);
        self.make(entry, dir, last, |at| rustix::fs::mknodat(at, last, kind, Mode::empty(), device))
    }

    /// Makes something that has no content.
    fn make(
        &mut self,
        entry: &ArchiveEntry,
        dir: &[u8],
        last: &[u8],
        create: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> Result<(), ApplyError> {
        self.attributes(entry)?;
        self.create(dir, last, create)?;
        meta::apply_at(entry, self.tree.directory(dir)?, last, entry.kind == Kind::Symlink)
    }

    /// Makes something instead of whatever was there.
    fn create<T>(
        &mut self,
        dir: &[u8],
        last: &[u8],
        create: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<T>,
    ) -> Result<T, ApplyError> {
        self.tree.inode(last)?;
        match create(self.tree.directory(dir)?) {
            Err(Errno::EXIST) => {
                self.tree.clear(dir, last)?;
                Ok(create(self.tree.directory(dir)?)?)
            }
            other => Ok(other?),
        }
    }

    /// What the entry's extended attributes take.
    fn attributes(&self, entry: &ArchiveEntry) -> Result<(), ArchiveError> {
        let bytes: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > 0 { self.tree.bytes((bytes as u64).next_multiple_of(BLOCK)) } else { Ok(()) }
    }
}

/// Whether two names are the same file's.
fn is_same(one: (impl AsFd, &[u8]), other: (impl AsFd, &[u8])) -> rustix::io::Result<bool> {
    let one = rustix::fs::statat(one.0, one.1, AtFlags::SYMLINK_NOFOLLOW)?;
    let other = rustix::fs::statat(other.0, other.1, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}

fn on_disk(source: io::Error, name: &[u8]) -> ArchiveError {
    ArchiveError::Disk { name: super::error::printable(name), source }
}
