//! Applying an archive, entry by entry, to an empty directory.

use super::error::{ArchiveError, Problem};
use super::meta::Meta;
use super::name::{Mark, Name, mark};
use super::tree::{PlaceError, Present, Tree, present, set_opaque};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps};
use rustix::io::Errno;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use tar::{Archive, Entry, EntryType};

/// What came out of an archive.
#[derive(Debug)]
pub(crate) struct Applied {
    /// Directories that the archive did not describe: their owner, mode and times are those of the layer below.
    pub(crate) implicit: BTreeSet<Vec<u8>>,
    /// Inodes made.
    pub(crate) inodes: u64,
    /// Bytes on disk, in whole blocks.
    pub(crate) bytes: u64,
}

/// Headers of one entry may take this much: a hostile "long name" would otherwise be read into memory whole.
const HEADER_BUDGET: u64 = 4 << 20;
const BUFFER: usize = 128 << 10;

/// Unpacks everything that `archive` brings into the empty directory `root`.
pub(crate) fn apply(archive: impl Read, root: OwnedFd) -> Result<Applied, ArchiveError> {
    let budget = Rc::new(Cell::new(HEADER_BUDGET));
    let mut archive = Archive::new(Metered { inner: archive, budget: Rc::clone(&budget) });
    let mut applier = Applier { tree: Tree::new(root), times: Vec::new(), buffer: vec![0; BUFFER] };
    let damaged = |source| ArchiveError::Damaged { source };
    let mut entries = archive.entries().map_err(damaged)?;
    loop {
        budget.set(HEADER_BUDGET);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(damaged)?;
        budget.set(u64::MAX);
        applier.entry(&mut entry)?;
        // What an entry holds besides what was read (a directory with content) passes without a budget too.
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
    }
    applier.finish()
}

struct Applier {
    tree: Tree,
    /// Directories get their times last: everything made in them changes those.
    times: Vec<(Vec<u8>, Timestamps)>,
    buffer: Vec<u8>,
}

impl Applier {
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), ArchiveError> {
        let raw = entry.path_bytes().into_owned();
        self.place(entry, &raw).map_err(|error| {
            let name: String = String::from_utf8_lossy(&raw).chars().take(256).collect();
            match error {
                Placed::Refused(problem) => ArchiveError::Entry { name, problem },
                Placed::Disk(source) => ArchiveError::Disk { name, source },
                Placed::Damaged(source) => ArchiveError::Damaged { source },
            }
        })
    }

    fn place<R: Read>(&mut self, entry: &mut Entry<'_, R>, raw: &[u8]) -> Result<(), Placed> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let name = Name::parse(raw)?;
        let Some((dir, last)) = name.split() else {
            return self.root(entry, kind);
        };
        match mark(last)? {
            Mark::Ignored => return Ok(()),
            Mark::Opaque => {
                let dir = self.tree.directory(dir)?;
                return Ok(set_opaque(dir, b"")?);
            }
            Mark::Whiteout(hidden) => return self.whiteout(dir, hidden),
            Mark::None => {}
        }
        let meta = Meta::read(entry)?;
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.file(entry, dir, last, &meta),
            EntryType::Directory => self.directory(&name, dir, last, meta),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or(Problem::Name)?.into_owned();
                if target.is_empty() || target.contains(&0) {
                    return Err(Problem::Name.into());
                }
                self.make(dir, last, &meta, true, |at| rustix::fs::symlinkat(target.as_slice(), at, last))
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().ok_or(Problem::Name)?.into_owned();
                self.hard_link(&target, &name)
            }
            EntryType::Char => self.device(entry, FileType::CharacterDevice, dir, last, &meta),
            EntryType::Block => self.device(entry, FileType::BlockDevice, dir, last, &meta),
            EntryType::Fifo => {
                self.make(dir, last, &meta, false, |at| rustix::fs::mknodat(at, last, FileType::Fifo, Mode::empty(), 0))
            }
            _ => Err(Problem::Kind.into()),
        }
    }

    /// The archive describes the layer's root itself.
    fn root<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: EntryType) -> Result<(), Placed> {
        if kind != EntryType::Directory {
            return Err(Problem::Name.into());
        }
        let meta = Meta::read(entry)?;
        meta.apply(self.tree.root())?;
        self.tree.described(b"");
        self.times.push((Vec::new(), meta.times));
        Ok(())
    }

    fn whiteout(&mut self, dir_path: &[u8], hidden: &[u8]) -> Result<(), Placed> {
        let dir = self.tree.directory(dir_path)?;
        match present(dir, hidden)? {
            // What this layer itself brings stays; only what is below is hidden.
            Present::Directory => set_opaque(dir, hidden)?,
            Present::Whiteout | Present::Other => {}
            Present::Nothing => {
                rustix::fs::mknodat(dir, hidden, FileType::CharacterDevice, Mode::empty(), 0)?;
                self.tree.count(0);
            }
        }
        Ok(())
    }

    fn directory(&mut self, name: &Name, dir_path: &[u8], last: &[u8], meta: Meta) -> Result<(), Placed> {
        let dir = self.tree.directory(dir_path)?;
        let before = present(dir, last)?;
        if matches!(before, Present::Whiteout | Present::Other) {
            self.tree.clear(dir_path, last)?;
        }
        if before != Present::Directory {
            rustix::fs::mkdirat(self.tree.directory(dir_path)?, last, Mode::from_raw_mode(0o700))?;
            self.tree.count(1);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(self.tree.directory(dir_path)?, last, flags, Mode::empty())?;
        meta.apply(&made)?;
        if before == Present::Whiteout {
            set_opaque(&made, b"")?;
        }
        self.tree.described(name.as_bytes());
        self.times.push((name.as_bytes().to_vec(), meta.times));
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, dir: &[u8], last: &[u8], meta: &Meta) -> Result<(), Placed> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |at: BorrowedFd<'_>| rustix::fs::openat(at, last, flags, Mode::from_raw_mode(0o600));
        let made = match open(self.tree.directory(dir)?) {
            Err(Errno::EXIST) => {
                self.tree.clear(dir, last)?;
                open(self.tree.directory(dir)?)?
            }
            other => other?,
        };
        let mut made = File::from(made);
        let mut written = 0;
        loop {
            let count = entry.read(&mut self.buffer).map_err(Placed::Damaged)?;
            if count == 0 {
                break;
            }
            made.write_all(&self.buffer[..count]).map_err(Placed::Disk)?;
            written += count as u64;
        }
        if entry.header().entry_type() != EntryType::GNUSparse && written != entry.size() {
            return Err(Placed::Damaged(io::Error::from(io::ErrorKind::UnexpectedEof)));
        }
        meta.apply(&made)?;
        rustix::fs::futimens(&made, &meta.times)?;
        self.tree.count(written);
        Ok(())
    }

    fn hard_link(&mut self, target: &[u8], name: &Name) -> Result<(), Placed> {
        let target = Name::parse(target).map_err(|problem| match problem {
            Problem::Absolute | Problem::Parent => Problem::HardLinkOut,
            other => other,
        })?;
        let (Some((from_path, from)), Some((to_path, to))) = (target.split(), name.split()) else {
            return Err(Problem::HardLinkMissing.into());
        };
        if target == *name {
            return Ok(());
        }
        let source = match self.tree.open(from_path) {
            Err(PlaceError::Refused(Problem::LinkOut)) => return Err(Problem::HardLinkOut.into()),
            Err(PlaceError::Disk(Errno::NOENT) | PlaceError::Refused(_)) => return Err(Problem::HardLinkMissing.into()),
            other => other?,
        };
        if matches!(present(&source, from)?, Present::Nothing | Present::Directory | Present::Whiteout) {
            return Err(Problem::HardLinkMissing.into());
        }
        // Not through a link: the link itself gets the second name.
        let link = |at: BorrowedFd<'_>| rustix::fs::linkat(&source, from, at, to, AtFlags::empty());
        match link(self.tree.directory(to_path)?) {
            Err(Errno::EXIST) => {
                self.tree.clear(to_path, to)?;
                link(self.tree.directory(to_path)?)?;
            }
            other => other?,
        }
        Ok(())
    }

    fn device<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        kind: FileType,
        dir: &[u8],
        last: &[u8],
        meta: &Meta,
    ) -> Result<(), Placed> {
        let number = |value: io::Result<Option<u32>>| value.ok().flatten().ok_or(Problem::Number);
        let (major, minor) = (number(entry.header().device_major())?, number(entry.header().device_minor())?);
        let device = rustix::fs::makedev(major, minor);
        self.make(dir, last, meta, false, |at| rustix::fs::mknodat(at, last, kind, Mode::empty(), device))
    }

    /// Makes something that has no content, in place of whatever was there.
    fn make(
        &mut self,
        dir: &[u8],
        last: &[u8],
        meta: &Meta,
        link: bool,
        create: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> Result<(), Placed> {
        match create(self.tree.directory(dir)?) {
            Err(Errno::EXIST) => {
                self.tree.clear(dir, last)?;
                create(self.tree.directory(dir)?)?;
            }
            other => other?,
        }
        meta.apply_at(self.tree.directory(dir)?, last, link)?;
        self.tree.count(0);
        Ok(())
    }

    fn finish(self) -> Result<Applied, ArchiveError> {
        for (path, times) in &self.times {
            let set = self.tree.open(path).and_then(|dir| {
                // An O_PATH descriptor takes no times itself.
                Ok(rustix::fs::utimensat(&dir, ".", times, AtFlags::empty())?)
            });
            match set {
                // Replaced by a later entry.
                Ok(()) | Err(PlaceError::Disk(Errno::NOENT) | PlaceError::Refused(_)) => {}
                Err(PlaceError::Disk(errno)) => {
                    let name: String = String::from_utf8_lossy(path).chars().take(256).collect();
                    return Err(ArchiveError::Disk { name, source: errno.into() });
                }
            }
        }
        let (inodes, bytes) = (self.tree.inodes, self.tree.bytes);
        Ok(Applied { implicit: self.tree.into_implicit(), inodes, bytes })
    }
}

enum Placed {
    Refused(Problem),
    Disk(io::Error),
    Damaged(io::Error),
}

impl From<Problem> for Placed {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl From<Errno> for Placed {
    fn from(errno: Errno) -> Self {
        Self::Disk(errno.into())
    }
}

impl From<PlaceError> for Placed {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Refused(problem) => Self::Refused(problem),
            PlaceError::Disk(errno) => Self::Disk(errno.into()),
        }
    }
}

/// Lets no more bytes pass than the budget of the moment.
struct Metered<R> {
    inner: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let budget = self.budget.get();
        if budget == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the headers of one entry take more than 4 MiB"));
        }
        let most = usize::try_from(budget).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        if budget != u64::MAX {
            self.budget.set(budget - count as u64);
        }
        Ok(count)
    }
}
