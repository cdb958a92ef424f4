//! A blob that is no archive, as a file of a directory that can be a lower layer of an overlay.

use super::error::{ArchiveError, EntryError, printable};
use super::meter::{BLOCK, Meter, from_reader};
use super::stream::{Unpacked, make_root};
use crate::artifact::ArtifactFile;
use crate::digest::Hasher;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BUFFER: usize = 128 << 10;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);
/// For everyone to read, whatever the umask.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Writes all that `content` brings into `dir`, which is empty: to the file `name`, which is relative, below `diff`.
pub(crate) fn place(mut content: impl Read, dir: &Path, name: &Path, meter: &Meter) -> Result<Unpacked, ArchiveError> {
    let at = || printable(name.as_os_str().as_bytes());
    let disk = |errno: Errno| ArchiveError::Disk { name: at(), source: errno.into() };
    let root = make_root(dir).map_err(|source| ArchiveError::Disk { name: at(), source })?;
    meter.entry()?;
    let mut file = File::from(make(&root, name, meter)?);
    let (mut hasher, mut buffer, mut size) = (Hasher::default(), vec![0; BUFFER], 0_u64);
    loop {
        let count = content.read(&mut buffer).map_err(from_reader)?;
        if count == 0 {
            break;
        }
        meter.streamed(count)?;
        let (before, after) = (size.div_ceil(BLOCK), (size + count as u64).div_ceil(BLOCK));
        meter.bytes(&root, (after - before) * BLOCK)?;
        hasher.update(&buffer[..count]);
        file.write_all(&buffer[..count]).map_err(|source| ArchiveError::Disk { name: at(), source })?;
        size += count as u64;
    }
    rustix::fs::fchmod(&file, FILE_MODE).map_err(disk)?;
    let blob = hasher.finish();
    let (inodes, bytes) = meter.finish();
    Ok(Unpacked { diff_id: ArtifactFile::id(name, &blob), blob, inodes, bytes })
}

/// The new file, and the folders that it lies in.
fn make(root: &OwnedFd, name: &Path, meter: &Meter) -> Result<OwnedFd, ArchiveError> {
    let at = || printable(name.as_os_str().as_bytes());
    let disk = |errno: Errno| ArchiveError::Disk { name: at(), source: errno.into() };
    let mut parts: Vec<_> = name.iter().collect();
    let last = parts.pop().ok_or_else(|| ArchiveError::Entry { name: at(), problem: EntryError::Name })?;
    let mut folder: Option<OwnedFd> = None;
    for part in parts {
        let parent = folder.as_ref().unwrap_or(root).as_fd();
        meter.inode(root, part.len())?;
        meter.directory(root)?;
        rustix::fs::mkdirat(parent, part, FOLDER_MODE).map_err(disk)?;
        let made = rustix::fs::openat(parent, part, FOLDER, Mode::empty()).map_err(disk)?;
        rustix::fs::fchmod(&made, FOLDER_MODE).map_err(disk)?;
        folder = Some(made);
    }
    meter.inode(root, last.len())?;
    rustix::fs::openat(folder.as_ref().unwrap_or(root), last, NEW, FILE_MODE).map_err(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, UnpackLimits};
    use crate::digest::Digest;
    use crate::unpack::ImageCost;
    use std::os::unix::fs::PermissionsExt;

    fn meter(limits: UnpackLimits) -> Meter {
        Meter::new(ImageCost::new(limits), crate::wanted::Cancelled::default())
    }

    #[test]
    fn a_file_is_what_came_and_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Config::new("/".into()).limits;
        let (content, name) = (vec![7_u8; 5000], Path::new("a/b/model"));
        let placed = place(&content[..], dir.path(), name, &meter(limits)).unwrap();
        let path = dir.path().join("diff").join(name);
        assert_eq!(std::fs::read(&path).unwrap(), content);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o644, 0o755));
        assert_eq!((placed.inodes, placed.bytes), (4, 5 * BLOCK));
        assert_eq!(placed.blob, Digest::of(&content));
        assert_eq!(placed.diff_id, ArtifactFile::id(name, &placed.blob));
    }

    #[test]
    fn no_more_is_written_than_a_layer_may_have() {
        let dir = tempfile::tempdir().unwrap();
        let limits = UnpackLimits { layer_bytes: 10_000, ..Config::new("/".into()).limits };
        let refused = place(std::io::repeat(1), dir.path(), Path::new("x"), &meter(limits)).unwrap_err();
        assert!(matches!(refused, ArchiveError::TooMuch(_)), "{refused}");
        assert!(std::fs::metadata(dir.path().join("diff/x")).unwrap().len() <= 10_000);
    }
}
