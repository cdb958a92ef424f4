//! An archive that is no layer but holds files which are: where in it each lies. One pass, nothing is unpacked.

use super::archive::{Archive, Kind};
use super::decompress::{Decompressor, Window};
use super::error::{ArchiveError, LimitError};
use super::meter::{from_reader, through_reader};
use crate::bounds::{ARCHIVE_ENTRIES, ARCHIVE_LINKS, ARCHIVE_NAMES, TRAILER};
use crate::config::UnpackLimits;
use crate::space::has_space;
use std::cell::Cell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::rc::Rc;

const BUFFER: usize = 128 << 10;
const COPIED_AT_ONCE: usize = 1 << 20;
/// Bytes after which the disk is asked again how much is left.
const ASK_DISK: u64 = 16 << 20;

/// What an archive has, by name: parts of names, joined by `/`.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    members: HashMap<Vec<u8>, BundleMember>,
    names: usize,
}

/// What stands under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleMember {
    /// A file, and where in the decompressed archive its bytes are.
    File { start: u64, size: u64 },
    /// A link to another name; `None` leads out of the archive.
    Link(Option<Vec<u8>>),
    /// A folder.
    Folder,
    /// Nothing that can be read from here, such as a device or a file with holes.
    Other,
    /// Several things: two readers could take one each.
    Twice,
}

impl Bundle {
    /// What the name leads to, links followed. `None` if it leads to nothing, or on and on.
    pub(crate) fn find(&self, name: &str) -> Option<&BundleMember> {
        let mut name = normalised(name.as_bytes(), b"")?;
        for _ in 0..=ARCHIVE_LINKS {
            match self.members.get(&name)? {
                BundleMember::Link(target) => name = target.clone()?,
                found => return Some(found),
            }
        }
        None
    }

    fn add(&mut self, name: Vec<u8>, member: BundleMember) -> Result<(), LimitError> {
        let target = if let BundleMember::Link(Some(target)) = &member { target.len() } else { 0 };
        self.names += name.len() + target;
        if self.names > ARCHIVE_NAMES {
            return Err(LimitError::ArchiveNames(ARCHIVE_NAMES));
        }
        if self.members.len() >= ARCHIVE_ENTRIES {
            return Err(LimitError::ArchiveEntries(ARCHIVE_ENTRIES));
        }
        // A blob that is there again is the same, or its digest tells.
        let is_blob = name.starts_with(b"blobs/sha256/") && matches!(member, BundleMember::File { .. });
        match self.members.entry(name) {
            Entry::Vacant(free) => drop(free.insert(member)),
            // A folder is no more than its name, however often it stands there.
            Entry::Occupied(taken) if *taken.get() == BundleMember::Folder && member == BundleMember::Folder => {}
            Entry::Occupied(taken) if is_blob && matches!(taken.get(), BundleMember::File { .. }) => {}
            Entry::Occupied(mut taken) => drop(taken.insert(BundleMember::Twice)),
        }
        Ok(())
    }
}

/// A name in one form, read from `folder` on unless it begins with `/`; `None` if it leads out of the archive.
fn normalised(name: &[u8], folder: &[u8]) -> Option<Vec<u8>> {
    let folder = if name.first() == Some(&b'/') { b"" } else { folder };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in folder.split(|byte| *byte == b'/').chain(name.split(|byte| *byte == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// Reads a plain, gzip or zstd archive to its end, and says what is where in it. What comes out of the decompressor is
/// written to `copy`, if there is one.
pub(crate) fn index(source: impl Read, copy: Option<&File>, limits: UnpackLimits) -> Result<Bundle, ArchiveError> {
    let position = Rc::new(Cell::new(0));
    let compressed = BufReader::with_capacity(BUFFER, source);
    let decompressor = Decompressor::new(compressed, Window::Usual).map_err(from_reader)?;
    let copy = copy.map(|file| BufWriter::with_capacity(COPIED_AT_ONCE, file));
    let copied = Copied { inner: decompressor, copy, limits, position: Rc::clone(&position), unseen: ASK_DISK };
    let mut archive = Archive::new(copied);
    let (mut bundle, mut came) = (Bundle::default(), 0_usize);
    while let Some(entry) = archive.next().map_err(|error| if came == 0 { at_the_begin(error) } else { error })? {
        came += 1;
        if came > ARCHIVE_ENTRIES {
            return Err(LimitError::ArchiveEntries(ARCHIVE_ENTRIES).into());
        }
        // What leads out of the archive is found under no name.
        let Some(name) = normalised(&entry.name, b"") else { continue };
        let folder = name.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &name[..slash]);
        let member = match entry.kind {
            Kind::File if entry.sparse.is_none() => {
                BundleMember::File { start: position.get(), size: archive.content() }
            }
            Kind::Symlink => BundleMember::Link(normalised(&entry.target, folder)),
            Kind::HardLink => BundleMember::Link(normalised(&entry.target, b"")),
            Kind::Directory => BundleMember::Folder,
            Kind::File | Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => BundleMember::Other,
        };
        bundle.add(name, member)?;
    }
    let mut rest = archive.into_rest();
    if io::copy(&mut (&mut rest).take(TRAILER + 1), &mut io::sink()).map_err(from_reader)? > TRAILER {
        return Err(LimitError::Trailer(TRAILER).into());
    }
    rest.inner.finish().map_err(from_reader)?;
    if let Some(copy) = &mut rest.copy {
        copy.flush().map_err(|source| ArchiveError::Disk { name: String::new(), source })?;
    }
    Ok(bundle)
}

/// What ends before its first entry may be any short file.
fn at_the_begin(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Damaged { source } if source.kind() == io::ErrorKind::UnexpectedEof => {
            let text = format!("not a tar archive: {source}");
            ArchiveError::Damaged { source: io::Error::new(source.kind(), text) }
        }
        other => other,
    }
}

/// Lets bytes pass as long as they are within bounds, and copies them.
struct Copied<'f, R> {
    inner: R,
    copy: Option<BufWriter<&'f File>>,
    limits: UnpackLimits,
    position: Rc<Cell<u64>>,
    /// Bytes written since the disk was last asked.
    unseen: u64,
}

impl<R: Read> Read for Copied<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let all = self.position.get() + count as u64;
        self.position.set(all);
        if all > self.limits.image_bytes {
            return Err(through_reader(LimitError::ArchiveBytes(self.limits.image_bytes).into()));
        }
        if let Some(copy) = &mut self.copy {
            let disk = |source| through_reader(ArchiveError::Disk { name: String::new(), source });
            self.unseen += count as u64;
            if self.unseen >= ASK_DISK {
                self.unseen = 0;
                let percent = self.limits.reserve_percent;
                if !has_space(*copy.get_ref(), percent, 0).map_err(|errno| disk(errno.into()))? {
                    return Err(through_reader(LimitError::Reserve(percent).into()));
                }
            }
            copy.write_all(&buffer[..count]).map_err(disk)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> UnpackLimits {
        crate::config::Config::new("/".into()).limits
    }

    fn archive(entries: &[(&str, u8, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::new(*kind));
            let is_link = matches!(kind, b'1' | b'2');
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            if is_link {
                header.as_mut_bytes()[157..157 + text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_size(if is_link { 0 } else { text.len() as u64 });
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, if is_link { "" } else { text }.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn files_are_found_by_every_name_that_leads_to_them() {
        let archive = archive(&[
            ("./a/", b'5', ""),
            ("./a/", b'5', ""),
            ("a/file", b'0', "content"),
            ("/b/../top", b'0', "x"),
            ("a/soft", b'2', "file"),
            ("soft", b'2', "/a/./soft"),
            ("hard", b'1', "a/file"),
            ("a/up", b'2', "../top"),
            ("out", b'2', "../../etc/passwd"),
            ("loop", b'2', "pool"),
            ("pool", b'2', "loop"),
            ("null", b'3', ""),
            ("twice", b'0', "one"),
            ("twice", b'0', "two"),
            ("../../escaped", b'0', "x"),
        ]);
        for packed in [archive.clone(), zstd::encode_all(&archive[..], 1).unwrap()] {
            let copy = tempfile::tempfile().unwrap();
            let bundle = index(&packed[..], Some(&copy), limits()).unwrap();
            let read = |name: &str| match bundle.find(name) {
                Some(BundleMember::File { start, size }) => {
                    let mut bytes = vec![0; usize::try_from(*size).unwrap()];
                    std::os::unix::fs::FileExt::read_exact_at(&copy, &mut bytes, *start).unwrap();
                    String::from_utf8(bytes).unwrap()
                }
                other => format!("{other:?}"),
            };
            for name in ["a/file", "./a/file", "/a//file", "a/soft", "soft", "hard"] {
                assert_eq!(read(name), "content", "{name}");
            }
            assert_eq!((read("top").as_str(), read("a/up").as_str()), ("x", "x"));
            assert_eq!((read("twice").as_str(), read("null").as_str()), ("Some(Twice)", "Some(Other)"));
            for none in ["out", "loop", "none", "escaped", "../a/file"] {
                assert_eq!(read(none), "None", "{none}");
            }
        }
    }

    #[test]
    fn what_an_archive_costs_is_bounded() {
        let small = UnpackLimits { image_bytes: 4096, ..limits() };
        let refused = index(&archive(&[("a", b'0', &"x".repeat(8192))])[..], None, small).unwrap_err();
        assert!(refused.to_string().contains("image.max_image_bytes"), "{refused}");
        let many: Vec<_> = (0..=ARCHIVE_ENTRIES).map(|_| ("d/", b'5', "")).collect();
        let refused = index(&archive(&many)[..], None, limits()).unwrap_err();
        assert!(refused.to_string().contains("65536 files"), "{refused}");
        let cut = archive(&[("a", b'0', &"x".repeat(8192))]);
        assert!(index(&cut[..1000], None, limits()).unwrap_err().to_string().contains("too early"));
        assert!(!index(&cut[..1000], None, limits()).unwrap_err().to_string().contains("not a tar"));
        for text in ["no archive at all, but a text".to_owned(), "no archive\n".repeat(200)] {
            let refused = index(text.as_bytes(), None, limits()).unwrap_err().to_string();
            assert!(refused.contains("not a tar archive"), "{refused}");
        }
        let trailer = [archive(&[("a", b'0', "x")]), vec![0; usize::try_from(TRAILER).unwrap() + 1]].concat();
        assert!(index(&trailer[..], None, limits()).unwrap_err().to_string().contains("archive's end"));
    }
}
