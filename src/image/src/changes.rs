//! What a container has changed of its image, as an archive beside a list of what it has deleted, and back; and
//! archives that are neither images nor layers. Such archives are as hostile as layers, and are held against the same
//! limits.

use crate::config::UnpackLimits;
use crate::export::{HiddenPaths, write_changed};
use crate::model::Rootfs;
use crate::unpack::{ArchiveError, ImageCost, LimitError, Meter, Window};
use crate::unpack::{inherit_attributes, is_opaque, through_reader, unpack, unpack_over};
use crate::wanted::Cancelled;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// An archive could not be made use of.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// As with a layer.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It has something that is neither a file nor a folder.
    #[error("{} is neither a file nor a folder", path.display())]
    Kind {
        /// Below the archive's root.
        path: PathBuf,
    },
    /// What was unpacked can't be looked at.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Of the file system.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

/// Writes what is in a container's writable layer, as long as somebody waits for it, and answers which paths of the
/// image it hides: at most [`DELETED_PATHS`]. Blocks.
///
/// # Errors
/// The file system's; and if [`apply_changes`] could not make use of it with the same limits, if the overlay keeps some
/// of it elsewhere, or if nobody waits any more.
pub fn write_changes(
    upper: &Path,
    rootfs: &Rootfs,
    limits: UnpackLimits,
    cancelled: Cancelled,
    to: impl Write,
) -> io::Result<Vec<Vec<u8>>> {
    let meter = Meter::new(ImageCost::new(limits), cancelled);
    let mut hidden = write_changed(upper, &meter, to)?;
    let own = rustix::fs::open(upper, LIST, Mode::empty())?;
    let below: Vec<OwnedFd> = rootfs
        .lower_dirs
        .iter()
        .map(|dir| rustix::fs::open(dir, LIST.difference(OFlags::NOFOLLOW), Mode::empty()))
        .collect::<Result<_, _>>()?;
    let opaque = hidden.take_opaque();
    let mut walk = HiddenBelow { own: &own, below: &below, meter: &meter, hidden: &mut hidden };
    for path in opaque {
        walk.add(path)?;
    }
    Ok(hidden.into_whiteouts())
}

/// What the layers below have in directories of which nothing shows through, but for what is there again.
struct HiddenBelow<'a> {
    own: &'a OwnedFd,
    below: &'a [OwnedFd],
    meter: &'a Meter,
    hidden: &'a mut HiddenPaths,
}

/// A directory on the way of such a walk.
struct OwnFolder {
    /// Of directories in it that are yet to be looked at.
    names: Vec<Vec<u8>>,
    /// Bytes of its path.
    path: usize,
    /// The layers below that have it.
    layers: Rc<[usize]>,
}

impl HiddenBelow<'_> {
    /// Adds all that is hidden by that directory.
    fn add(&mut self, mut path: Vec<u8>) -> io::Result<()> {
        let mut stack = vec![self.folder(&path, &(0..self.below.len()).collect::<Vec<_>>())?];
        while let Some(OwnFolder { names, path: length, layers }) = stack.last_mut() {
            path.truncate(*length);
            let Some(name) = names.pop() else {
                stack.pop();
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(&name);
            let layers = Rc::clone(layers);
            let folder = self.folder(&path, &layers)?;
            // What none of them has is not in them either.
            if !folder.layers.is_empty() {
                stack.push(folder);
            }
        }
        Ok(())
    }

    /// Adds what is hidden in one directory, which some of `layers` have.
    fn folder(&mut self, path: &[u8], layers: &[usize]) -> io::Result<OwnFolder> {
        self.meter.wanted().map_err(through_reader)?;
        let (mut mine, mut names) = (HashSet::new(), Vec::new());
        each_entry(self.own, path, |name, kind| {
            mine.insert(name.to_vec());
            // What is in it was made in it.
            if kind == FileType::Directory {
                names.push(name.to_vec());
            }
            Ok(())
        })?;
        let mut having = Vec::new();
        for layer in layers {
            let found = each_entry(&self.below[*layer], path, |name, _| {
                // The next layer may have it, too.
                if !mine.contains(name) && mine.insert(name.to_vec()) {
                    self.meter.entry().and_then(|()| self.meter.name(name.len())).map_err(refused)?;
                    self.hidden.whiteout(&[path, b"/", name].concat())?;
                }
                Ok(())
            })?;
            if found {
                having.push(*layer);
            }
        }
        Ok(OwnFolder { names, path: path.len(), layers: having.into() })
    }
}

fn refused(error: LimitError) -> io::Error {
    through_reader(error.into())
}

/// Answers whether there is such a folder.
fn each_entry(
    root: &OwnedFd,
    path: &[u8],
    mut each: impl FnMut(&[u8], FileType) -> io::Result<()>,
) -> io::Result<bool> {
    let dir = match rustix::fs::openat2(root, path, LIST, Mode::empty(), INSIDE) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => return Ok(false),
        other => other?,
    };
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            each(entry.file_name().to_bytes(), entry.file_type())?;
        }
    }
    Ok(true)
}

/// Makes a writable layer in `dir`, which is empty, below `diff`: of an archive, and of what is told to be deleted of
/// the image. Blocks.
///
/// # Errors
/// [`ChangesError`]: then what is in `dir` is of no use.
pub fn apply_changes(
    deleted: &[Vec<u8>],
    archive: Option<impl Read>,
    rootfs: &Rootfs,
    limits: UnpackLimits,
    dir: &Path,
) -> Result<(), ChangesError> {
    unpack_over(deleted, archive, dir, meter(limits))?;
    let disk = |source| ChangesError::Disk { path: dir.to_owned(), source };
    inherit_attributes(dir, &rootfs.lower_dirs).map_err(disk)?;
    // Of the root nothing is hidden: an archive can't say so, and the kernel does not ask.
    let root = rustix::fs::open(dir.join("diff"), LIST, Mode::empty()).map_err(|errno| disk(errno.into()))?;
    if is_opaque(&root).map_err(|errno| disk(errno.into()))? {
        return Err(ChangesError::Kind { path: PathBuf::from("/") });
    }
    Ok(())
}

/// Unpacks an archive of files and folders, and nothing else, into `dir`, which is empty, below `diff`. Blocks.
///
/// # Errors
/// [`ChangesError`]: then what is in `dir` is of no use.
pub fn unpack_files(archive: impl Read, limits: UnpackLimits, dir: &Path) -> Result<(), ChangesError> {
    unpack(archive, dir, Window::Usual, meter(limits))?;
    let root = dir.join("diff");
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let disk = |source| ChangesError::Disk { path: root.join(&folder), source };
        let own = rustix::fs::open(root.join(&folder), LIST, Mode::empty()).map_err(|errno| disk(errno.into()))?;
        for entry in Dir::read_from(own.as_fd()).map_err(|errno| disk(errno.into()))? {
            let entry = entry.map_err(|errno| disk(errno.into()))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let path = folder.join(OsStr::from_bytes(name));
            let stat = rustix::fs::statat(&own, entry.file_name(), rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| disk(errno.into()))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => folders.push(path),
                FileType::RegularFile => {}
                _ => return Err(ChangesError::Kind { path }),
            }
        }
    }
    Ok(())
}

fn meter(limits: UnpackLimits) -> Meter {
    Meter::new(ImageCost::new(limits), Cancelled::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::os::unix::fs::PermissionsExt;

    fn limits() -> UnpackLimits {
        Config::new("/".into()).limits
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
    #[ignore = "needs root"]
    fn what_was_changed_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let (lower, upper, back) = (dir.path().join("lower"), dir.path().join("upper"), dir.path().join("back"));
        for path in ["gone", "kept", "anew/sub/old", "anew/old", "anew/both"] {
            let path = lower.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "lower").unwrap();
        }
        std::fs::create_dir_all(upper.join("anew/sub")).unwrap();
        std::fs::create_dir(&back).unwrap();
        std::fs::set_permissions(upper.join("anew"), std::fs::Permissions::from_mode(0o700)).unwrap();
        for path in ["new", "anew/both", "anew/sub/new"] {
            std::fs::write(upper.join(path), "upper").unwrap();
        }
        let whiteout = |path: &str| {
            rustix::fs::mknodat(rustix::fs::CWD, upper.join(path), FileType::CharacterDevice, Mode::empty(), 0)
        };
        whiteout("gone").unwrap();
        rustix::fs::setxattr(upper.join("anew"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
            .unwrap();
        let rootfs = Rootfs { lower_dirs: vec![lower.clone()] };
        let mut bytes = Vec::new();
        let mut deleted = write_changes(&upper, &rootfs, limits(), Cancelled::default(), &mut bytes).unwrap();
        deleted.sort();
        let wanted = ["anew/old", "anew/sub/old", "gone"].map(|path| path.as_bytes().to_vec());
        assert_eq!(deleted, wanted);
        apply_changes(&deleted, Some(&bytes[..]), &rootfs, limits(), &back).unwrap();
        let root = back.join("diff");
        for path in ["new", "anew/both", "anew/sub/new"] {
            assert_eq!(std::fs::read_to_string(root.join(path)).unwrap(), "upper", "{path}");
        }
        for path in wanted {
            use std::os::unix::fs::{FileTypeExt, MetadataExt};
            let there = std::fs::symlink_metadata(root.join(OsStr::from_bytes(&path))).unwrap();
            assert!(there.file_type().is_char_device() && there.rdev() == 0, "{path:?}");
        }
        assert_eq!(std::fs::metadata(root.join("anew")).unwrap().permissions().mode() & 0o777, 0o700);
    }

    fn written(upper: &Path, lower: Vec<PathBuf>, limits: UnpackLimits) -> io::Result<Vec<Vec<u8>>> {
        write_changes(upper, &Rootfs { lower_dirs: lower }, limits, Cancelled::default(), io::sink())
    }

    #[test]
    fn what_could_not_be_unpacked_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let upper = |name: &str| {
            let upper = dir.path().join(name);
            std::fs::create_dir(&upper).unwrap();
            upper
        };
        let refused = |upper: &Path, limits: UnpackLimits| written(upper, Vec::new(), limits).unwrap_err().to_string();
        let few = UnpackLimits { layer_entries: 4, layer_bytes: 1 << 20, ..limits() };
        let full = upper("full");
        (0..4).for_each(|index| std::fs::write(full.join(index.to_string()), "").unwrap());
        assert!(refused(&full, few).contains("image.max_layer_entries"));
        std::fs::remove_file(full.join("3")).unwrap();
        written(&full, Vec::new(), few).unwrap();
        // Its zeros are in the archive.
        std::fs::File::create(full.join("2")).unwrap().set_len(2 << 20).unwrap();
        assert!(refused(&full, few).contains("image.max_layer_bytes"));
        let deep = upper("deep");
        let mut at = deep.clone();
        (0..257).for_each(|_| at.push("a"));
        std::fs::create_dir_all(&at).unwrap();
        assert!(refused(&deep, limits()).contains("levels deep"));
        let marked = upper("marked");
        std::fs::write(marked.join(".wh.kept"), "").unwrap();
        assert!(refused(&marked, limits()).contains(".wh."));
        let nobody = write_changes(&full, &Rootfs { lower_dirs: vec![] }, limits(), cancelled(), io::sink());
        assert!(nobody.unwrap_err().to_string().contains("broken off"));
    }

    fn cancelled() -> Cancelled {
        crate::wanted::Wanted::default().cancelled()
    }

    #[test]
    #[ignore = "needs root"]
    fn what_is_hidden_is_counted_and_looked_for_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (upper, lower) = (dir.path().join("upper"), dir.path().join("lower"));
        let opaque = |path: &Path| {
            rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
        };
        // Each level says so itself, and no layer below has more than the first.
        let levels: Vec<PathBuf> = (1..=20).map(|count| upper.join("a/".repeat(count))).collect();
        std::fs::create_dir_all(levels.last().unwrap()).unwrap();
        levels.iter().for_each(|path| opaque(path));
        std::fs::create_dir_all(lower.join("a")).unwrap();
        (0..100).for_each(|index| std::fs::write(lower.join(format!("a/{index}")), "").unwrap());
        // The same names twice are hidden once.
        let both = vec![lower.clone(), lower];
        assert_eq!(written(&upper, both.clone(), limits()).unwrap().len(), 100);
        let refused = written(&upper, both, UnpackLimits { layer_entries: 100, ..limits() }).unwrap_err();
        assert!(refused.to_string().contains("image.max_layer_entries"), "{refused}");
    }

    #[test]
    fn what_is_deleted_stays_beneath_the_root_and_what_came_anew_stays() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::write(outer.path().join("outside"), "kept").unwrap();
        let dir = outer.path().join("dir");
        std::fs::create_dir(&dir).unwrap();
        let rootfs = Rootfs { lower_dirs: vec![] };
        for (index, bad) in ["..", ".", "", "a/..", "/"].iter().enumerate() {
            let dir = dir.join(index.to_string());
            std::fs::create_dir(&dir).unwrap();
            let refused = apply_changes(&[bad.as_bytes().to_vec()], None::<&[u8]>, &rootfs, limits(), &dir);
            refused.unwrap_err();
        }
        // Names of files are read from the root, whatever leads out of it.
        let layer = archive(&[("link", b'2', "/"), ("again", b'0', "new")]);
        let deleted = [&b"again"[..], b"link"].map(<[u8]>::to_vec);
        apply_changes(&deleted, Some(&layer[..]), &rootfs, limits(), &dir).unwrap();
        assert_eq!(std::fs::read_to_string(dir.join("diff/again")).unwrap(), "new");
        assert_eq!(std::fs::read_to_string(outer.path().join("outside")).unwrap(), "kept");
    }

    #[test]
    fn archives_of_files_have_nothing_else() {
        let check = |entries: &[(&str, u8, &str)]| {
            let dir = tempfile::tempdir().unwrap();
            unpack_files(&archive(entries)[..], limits(), dir.path()).map(|()| dir)
        };
        let dir = check(&[("a/", b'5', ""), ("a/b", b'0', "x"), ("../../c", b'0', "y")]).unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("diff/a/b")).unwrap(), "x");
        assert_eq!(std::fs::read_to_string(dir.path().join("diff/c")).unwrap(), "y");
        for (kind, target) in [(b'2', "/etc/passwd"), (b'6', "")] {
            let refused = check(&[("a/", b'5', ""), ("a/b", kind, target)]).unwrap_err();
            assert!(matches!(&refused, ChangesError::Kind { path } if path == Path::new("a/b")), "{refused}");
        }
    }
}
