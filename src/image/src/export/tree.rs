//! A layer's directory as an archive: the entries in the order of their names, whatever the file system's, so that the
//! same layer always makes the same bytes.
//!
//! Whiteouts and opaque directories are what overlay has of them, and become what archives have, or are gathered.
//! Nobody changes a layer, so what is read twice is the same. A container's writable layer may be changed after all: a
//! folder that was moved away meanwhile is an error, and leads nowhere else.

use super::hidden::HiddenPaths;
use crate::bounds::{EXPORT_LINKS, LAYER_DIRECTORIES, XATTR_BYTES, XATTRS};
use crate::config::UnpackLimits;
use crate::unpack::{ArchiveError, EntryError, ImageCost, Meter, check_name, through_reader};
use crate::wanted::Cancelled;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tar::{Builder, EntryType, Header};

const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const OPAQUE: &str = "trusted.overlay.opaque";
/// What a directory or a file has whose content is somewhere else in the layers below.
const ELSEWHERE: [&str; 2] = ["trusted.overlay.redirect", "trusted.overlay.metacopy"];

/// Writes all that is below `root`, a layer: it may have what an unpacked one may, and as many bytes as an image, holes
/// counted. Directories that its archive only implied were no entries of that.
pub(super) fn write_tree(root: &Path, limits: UnpackLimits, to: impl Write) -> io::Result<()> {
    let implied = u64::try_from(LAYER_DIRECTORIES).unwrap_or(u64::MAX);
    let limits = UnpackLimits {
        layer_entries: limits.layer_entries.saturating_add(implied),
        image_entries: u64::MAX,
        layer_bytes: u64::MAX,
        ..limits
    };
    write(root, &Meter::new(ImageCost::new(limits), Cancelled::default()), None, to).map(drop)
}

/// The same of a writable layer, which becomes one that the meter lets be unpacked: what it hides is no part of the
/// archive, but the answer.
pub(crate) fn write_changed(root: &Path, meter: &Meter, to: impl Write) -> io::Result<HiddenPaths> {
    Ok(write(root, meter, Some(HiddenPaths::default()), to)?.unwrap_or_default())
}

fn write(root: &Path, meter: &Meter, hidden: Option<HiddenPaths>, to: impl Write) -> io::Result<Option<HiddenPaths>> {
    let mut dir = rustix::fs::open(root, LIST, Mode::empty())?;
    let archive = Builder::new(MeteredSink { inner: to, meter });
    let mut tree = TreeWriter { archive, links: HashMap::new(), names: 0, meter, hidden };
    meter.entry().map_err(refused)?;
    let mut path: Vec<u8> = Vec::new();
    let stat = rustix::fs::fstat(&dir)?;
    tree.directory(&dir, b"./", &stat)?;
    let mut stack = vec![(list(&dir, meter)?, 0, identity(&stat))];
    while let Some((names, length, _)) = stack.last_mut() {
        path.truncate(*length);
        let Some(name) = names.pop() else {
            stack.pop();
            if let Some((_, _, above)) = stack.last() {
                dir = rustix::fs::openat(&dir, "..", LIST, Mode::empty())?;
                if identity(&rustix::fs::fstat(&dir)?) != *above {
                    return Err(io::Error::other("a folder was moved while it was read"));
                }
            }
            continue;
        };
        path.extend_from_slice(name.to_bytes());
        let stat = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            path.push(b'/');
            dir = rustix::fs::openat(&dir, &name, LIST, Mode::empty())?;
            tree.directory(&dir, &path, &stat)?;
            meter.named_directory(name.to_bytes().len()).map_err(refused)?;
            let inner = list(&dir, meter)?;
            let length = path.len();
            stack.push((inner, length, identity(&rustix::fs::fstat(&dir)?)));
        } else {
            tree.entry(&dir, &name, &path, &stat)?;
        }
    }
    tree.archive.into_inner()?.flush()?;
    Ok(tree.hidden)
}

fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

fn refused(error: impl Into<ArchiveError>) -> io::Error {
    through_reader(error.into())
}

/// Lets bytes pass as long as they are within bounds and somebody waits for them.
struct MeteredSink<'a, W> {
    inner: W,
    meter: &'a Meter,
}

impl<W: Write> Write for MeteredSink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.meter.streamed(count).map_err(refused)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The names in a directory, the first one last. Who fills it has as many as the meter allows.
fn list(dir: &OwnedFd, meter: &Meter) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            meter.wanted().map_err(refused)?;
            meter.entry().map_err(refused)?;
            meter.name(entry.file_name().to_bytes().len()).map_err(refused)?;
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// What an archive says of a file.
#[derive(Clone, Copy)]
struct TreeEntry<'a> {
    kind: EntryType,
    path: &'a [u8],
    stat: &'a Stat,
    attributes: &'a [(String, Vec<u8>)],
    /// Of links.
    target: &'a [u8],
    size: u64,
}

impl<'a> TreeEntry<'a> {
    fn new(kind: EntryType, path: &'a [u8], stat: &'a Stat) -> Self {
        Self { kind, path, stat, attributes: &[], target: &[], size: 0 }
    }
}

struct TreeWriter<'a, W: Write> {
    archive: Builder<MeteredSink<'a, W>>,
    /// Of files with several names, the first one.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Bytes of these names.
    names: usize,
    meter: &'a Meter,
    /// Where whiteouts go that are not to be written.
    hidden: Option<HiddenPaths>,
}

impl<W: Write> TreeWriter<'_, W> {
    fn directory(&mut self, dir: &OwnedFd, path: &[u8], stat: &Stat) -> io::Result<()> {
        check_name(path).map_err(refused)?;
        let attributes = attributes(dir)?;
        let is_opaque = attributes.iter().any(|(name, _)| name == OPAQUE);
        self.is_whole(path, &attributes)?;
        self.write(
            TreeEntry { attributes: &attributes, ..TreeEntry::new(EntryType::Directory, path, stat) },
            io::empty(),
        )?;
        if is_opaque {
            let folder = path.strip_prefix(b"./").unwrap_or(path);
            if let Some(hidden) = &mut self.hidden {
                return hidden.opaque(folder.strip_suffix(b"/").unwrap_or(folder));
            }
            self.whiteout(&[folder, b".wh..wh..opq"].concat(), stat)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &OwnedFd, name: &CStr, path: &[u8], stat: &Stat) -> io::Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            if let Some(hidden) = &mut self.hidden {
                return hidden.whiteout(path);
            }
            let folder = path.len() - name.to_bytes().len();
            return self.whiteout(&[&path[..folder], b".wh.", name.to_bytes()].concat(), stat);
        }
        check_name(path).map_err(refused)?;
        if stat.st_nlink > 1
            && let Some(first) = self.first_name(path, stat)
        {
            let link = TreeEntry { target: &first, ..TreeEntry::new(EntryType::Link, path, stat) };
            return self.write(link, io::empty());
        }
        let plain = |kind| TreeEntry::new(kind, path, stat);
        match kind {
            FileType::RegularFile => {
                let file = File::from(rustix::fs::openat(dir, name, FILE, Mode::empty())?);
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                // Before its zeros are written.
                self.meter.ahead(size).map_err(refused)?;
                let attributes = attributes(&file)?;
                self.is_whole(path, &attributes)?;
                let entry = TreeEntry { attributes: &attributes, size, ..plain(EntryType::Regular) };
                self.write(entry, file.take(size))
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
                self.write(TreeEntry { target: target.as_bytes(), ..plain(EntryType::Symlink) }, io::empty())
            }
            FileType::CharacterDevice => self.write(plain(EntryType::Char), io::empty()),
            FileType::BlockDevice => self.write(plain(EntryType::Block), io::empty()),
            FileType::Fifo => self.write(plain(EntryType::Fifo), io::empty()),
            // No archive has sockets, and no layer came with one.
            _ => Ok(()),
        }
    }

    /// Refuses what the layer alone does not tell. Nothing that was unpacked is like that.
    fn is_whole(&self, path: &[u8], attributes: &[(String, Vec<u8>)]) -> io::Result<()> {
        let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.hidden.is_some() && (attributes.len() > XATTRS || bytes > XATTR_BYTES) {
            return Err(refused(ArchiveError::entry(path, EntryError::Attributes)));
        }
        let elsewhere = || attributes.iter().any(|(name, _)| ELSEWHERE.contains(&name.as_str()));
        if self.hidden.is_some() && elsewhere() {
            let why =
                "the kernel's overlay keeps some of it in layers below (redirect_dir or metacopy): turn these off";
            return Err(io::Error::other(why));
        }
        Ok(())
    }

    /// The name under which a file has been written already. Beyond the bound of what is remembered, each name has a
    /// copy of its own.
    fn first_name(&mut self, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&key) {
            return Some(first.clone());
        }
        if self.names + path.len() <= EXPORT_LINKS {
            self.names += path.len();
            self.links.insert(key, path.to_vec());
        }
        None
    }

    /// An empty file that only root may read, as Docker writes it. When it was unpacked says nothing about the image.
    fn whiteout(&mut self, path: &[u8], stat: &Stat) -> io::Result<()> {
        let mut stat = *stat;
        (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_mtime, stat.st_mtime_nsec) = (0o600, 0, 0, 0, 0);
        self.write(TreeEntry::new(EntryType::Regular, path, &stat), io::empty())
    }

    #[allow(clippy::unnecessary_cast, reason = "the types of a stat's fields differ between architectures")]
    fn write(&mut self, entry: TreeEntry<'_>, content: impl Read) -> io::Result<()> {
        let TreeEntry { kind, path, stat, attributes, target, size } = entry;
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let mut text = |key: &str, value: &[u8], at: usize, header: &mut Header| {
            let short = value.len().min(100);
            header.as_mut_bytes()[at..at + short].copy_from_slice(&value[..short]);
            if value.len() > 100 || std::str::from_utf8(value).is_ok_and(|text| !text.is_ascii()) {
                records.push((key.to_owned(), value.to_vec()));
            }
        };
        text("path", path, 0, &mut header);
        text("linkpath", target, 157, &mut header);
        let mut number = |key: &str, value: u64, most: u64| {
            if value > most {
                records.push((key.to_owned(), value.to_string().into_bytes()));
            }
            value.min(most)
        };
        header.set_uid(number("uid", u64::from(stat.st_uid), 0o777_7777));
        header.set_gid(number("gid", u64::from(stat.st_gid), 0o777_7777));
        header.set_size(number("size", size, 0o777_7777_7777));
        let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as i64);
        header.set_mtime(u64::try_from(seconds).unwrap_or_default().min(0o777_7777_7777));
        if nanoseconds != 0 || !(0..=0o777_7777_7777).contains(&seconds) {
            records.push(("mtime".to_owned(), time(seconds, nanoseconds).into_bytes()));
        }
        if matches!(kind, EntryType::Char | EntryType::Block) {
            let device = stat.st_rdev as u64;
            header.set_device_major(rustix::fs::major(device))?;
            header.set_device_minor(rustix::fs::minor(device))?;
        }
        let kept = attributes.iter().filter(|(name, _)| !name.starts_with("trusted.overlay."));
        records.extend(kept.map(|(name, value)| (format!("SCHILY.xattr.{name}"), value.clone())));
        if !records.is_empty() {
            self.archive.append_pax_extensions(records.iter().map(|(key, value)| (key.as_str(), &value[..])))?;
        }
        header.set_cksum();
        let mut counted = Counted { inner: content, left: size };
        self.archive.append(&header, &mut counted)?;
        if counted.left > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Notices when a file ends early: the archive would be none.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// As PAX writes it, before the epoch too.
fn time(seconds: i64, nanoseconds: i64) -> String {
    match (seconds < 0, nanoseconds) {
        (_, 0) => seconds.to_string(),
        (false, _) => format!("{seconds}.{nanoseconds:09}"),
        (true, _) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
    }
}

/// Extended attributes, by name, but for those that the node gives.
fn attributes(file: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut names = vec![0; 64 << 10];
    let count = match rustix::fs::flistxattr(&file, &mut names) {
        Ok(count) => count,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(other) => return Err(other.into()),
    };
    let mut found = Vec::new();
    for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(text) = std::str::from_utf8(name) else { continue };
        if matches!(text, "security.selinux" | "security.ima" | "security.evm") {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::fgetxattr(&file, text, &mut value)?;
        value.truncate(length);
        found.push((text.to_owned(), value));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_as_pax_has_them() {
        for (seconds, nanoseconds, text) in [
            (0, 0, "0"),
            (5, 1, "5.000000001"),
            (-5, 0, "-5"),
            (-5, 250_000_000, "-4.750000000"),
            (-1, 1, "-0.999999999"),
        ] {
            assert_eq!(time(seconds, nanoseconds), text);
        }
    }
}
