//! An archive of a container's becomes files of this node.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use tar::{Archive, EntryType};

use super::archive::{CopiedEntry, HeadersBefore};
use super::beneath::Beneath;
use super::error::{CopyError, shown};
use crate::bounds::{COPY_NAME_BYTES, COPY_NOTES};

/// What may follow an archive's end: what GNU tar fills its last record with is less.
const REST: u64 = 1 << 20;

/// Where to write.
pub(crate) struct CopyDestination {
    /// Open; nothing is written elsewhere.
    folder: OwnedFd,
    /// With what all names in the archive begin, and what stands there instead; nothing: the folder itself is meant.
    renamed: Option<(Vec<u8>, OsString)>,
}

impl CopyDestination {
    /// Where `cp -r SOURCE/BASE TO` writes. `base` is what the archive's names begin with; `.`: with nothing.
    pub(crate) fn new(to: &Path, base: &str) -> Result<Self, CopyError> {
        if base == "." {
            match std::fs::create_dir(to) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(to, source)),
                _ => return Ok(Self { folder: open_folder(to)?, renamed: None }),
            }
        }
        let base = base.as_bytes().to_vec();
        if to.is_dir() {
            let name = OsString::from(String::from_utf8_lossy(&base).into_owned());
            return Ok(Self { folder: open_folder(to)?, renamed: Some((base, name)) });
        }
        if to.as_os_str().as_bytes().ends_with(b"/") {
            let name = shown(to.as_os_str().as_bytes());
            return Err(CopyError::InTheWay { name, why: "there is no such folder, and `cp` makes none for this" });
        }
        let Some(name) = to.file_name() else {
            return Err(unwritable(to, io::ErrorKind::NotFound.into()));
        };
        let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Self { folder: open_folder(parent)?, renamed: Some((base, name.to_owned())) })
    }

    /// How many parts the place has of what was asked for itself.
    fn top(&self) -> usize {
        usize::from(self.renamed.is_some())
    }

    /// The parts of a name's place beneath the folder.
    fn place<'n>(&'n self, name: &'n [u8]) -> Result<Vec<&'n [u8]>, CopyError> {
        if name.len() > COPY_NAME_BYTES {
            return Err(CopyError::hostile(name, "is longer than names are"));
        }
        if name.starts_with(b"/") {
            return Err(CopyError::hostile(name, "begins at the root"));
        }
        let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
        let mut parts: Vec<&[u8]> = parts.collect();
        if parts.iter().any(|part| *part == b".." || part.contains(&0)) {
            return Err(CopyError::hostile(name, "leads out of its folder"));
        }
        if let Some((base, own)) = &self.renamed {
            match parts.first_mut() {
                Some(first) if *first == base.as_slice() => *first = own.as_bytes(),
                _ => return Err(CopyError::hostile(name, "is beside what was asked for")),
            }
        }
        Ok(parts)
    }
}

/// What was left out.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// The first ones, and why.
    pub(crate) notes: Vec<String>,
    /// How many more.
    pub(crate) more: u64,
}

impl LeftOut {
    pub(super) fn add(&mut self, name: &[u8], why: &str) {
        if self.notes.len() < COPY_NOTES {
            self.notes.push(left_out(name, why));
        } else {
            self.more += 1;
        }
    }
}

pub(super) fn left_out(name: &[u8], why: &str) -> String {
    format!("left out `{}`: {why}", shown(name))
}

/// Writes what an archive has, and answers what it left out. An archive without entries, and one of a thing that can't
/// be copied, is an error: who asked for it has nothing.
pub(crate) fn extract(archive: &mut impl Read, to: &CopyDestination) -> Result<LeftOut, CopyError> {
    let beneath = Beneath::new(to.folder.try_clone().map_err(CopyError::Archive)?);
    let (mut left_out, mut is_empty) = (LeftOut::default(), true);
    {
        let mut before = HeadersBefore::default();
        let mut archive = Archive::new(&mut *archive);
        for entry in archive.entries().map_err(CopyError::Archive)?.raw(true) {
            let mut entry = entry.map_err(CopyError::Archive)?;
            let kind = entry.header().entry_type();
            if let Some(about) = before.take(&mut entry)? {
                let place = to.place(&about.name)?;
                is_empty = false;
                if let Some(why) = one(&beneath, to, kind, &about, &place, &mut entry)? {
                    if place.len() <= to.top() {
                        return Err(CopyError::NotCopied(self::left_out(&about.name, &why)));
                    }
                    left_out.add(&about.name, &why);
                }
            }
        }
    }
    // So that the container's tar ends as it should; whoever sends more than that is left.
    io::copy(&mut archive.take(REST), &mut io::sink()).map_err(CopyError::Archive)?;
    if is_empty { Err(CopyError::Empty) } else { Ok(left_out) }
}

/// Writes one thing, or answers why it is left out.
fn one(
    beneath: &Beneath,
    to: &CopyDestination,
    kind: EntryType,
    about: &CopiedEntry,
    place: &[&[u8]],
    content: &mut impl Read,
) -> Result<Option<String>, CopyError> {
    match kind {
        EntryType::Directory => beneath.folder(place, about.mode)?,
        // As programs before ustar wrote folders.
        EntryType::Regular if about.name.ends_with(b"/") => beneath.folder(place, about.mode)?,
        EntryType::Regular | EntryType::Continuous => beneath.file(place, about, content)?,
        EntryType::Symlink if stays(place, &about.target, to.renamed.is_some()) => {
            beneath.symlink(place, &about.target)?;
        }
        EntryType::Symlink if place.len() <= to.top() => {
            return Ok(Some(format!("it is a link to `{}`: copy that", shown(&about.target))));
        }
        EntryType::Symlink => return Ok(Some("it is a link that could lead out of the copy".to_owned())),
        EntryType::Link => beneath.hard_link(place, &to.place(&about.target)?)?,
        _ => return Ok(Some("it is a device, a pipe or something else that is no file".to_owned())),
    }
    Ok(None)
}

/// Whether a link leads to what is copied, whatever other links that do so are on its way: it goes up first, no higher
/// than the copy's top, and then only down. No `..` stands behind a name, as that name may be a link.
fn stays(place: &[&[u8]], target: &[u8], has_top: bool) -> bool {
    if target.is_empty() || target.starts_with(b"/") || target.len() > COPY_NAME_BYTES {
        return false;
    }
    let parts: Vec<&[u8]> = target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    let up = parts.iter().take_while(|part| **part == b"..").count();
    // Of a copied folder, the folder itself is the top: beside it are others' files.
    let depth = place.len().saturating_sub(1 + usize::from(has_top));
    up <= depth
        && !parts[up..].iter().any(|part| *part == b".." || part.contains(&0))
        && place.len() > usize::from(has_top)
}

fn open_folder(path: &Path) -> Result<OwnedFd, CopyError> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| unwritable(path, errno.into()))
}

fn unwritable(path: &Path, source: io::Error) -> CopyError {
    CopyError::Write { name: path.display().to_string(), source }
}
