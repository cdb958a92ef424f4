//! The group of a pod's volumes (fsGroup), as a kubelet gives it to them.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::subpath;
use crate::manifest::FsGroup;

/// What the group may: write, or in volumes that nobody writes into only read.
const WRITE: u32 = 0o660;
const READ: u32 = 0o440;
/// Folders are searched, and give their group to what is made in them.
const FOLDER: u32 = 0o2110;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

const FIND: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives the group all that is in a volume. Links are given, but never followed. It ends early once `given_up` is true.
pub(super) fn give(volume: &Path, group: FsGroup, read_only: bool, given_up: &AtomicBool) -> io::Result<()> {
    let gid = u32::try_from(group.id).map(Gid::from_raw).map_err(io::Error::other)?;
    let mask = if read_only { READ } else { WRITE };
    let root = rustix::fs::open(volume, OPEN | OFlags::DIRECTORY, Mode::empty())?;
    let stat = rustix::fs::fstat(&root)?;
    if group.on_mismatch_alone
        && stat.st_gid == gid.as_raw()
        && stat.st_mode & 0o7777 & (mask | FOLDER) == mask | FOLDER
    {
        return Ok(());
    }
    // By path from the volume, so that depth costs no descriptors.
    let mut folders = vec![b".".to_vec()];
    while let Some(folder) = folders.pop() {
        let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let open = match rustix::fs::openat2(&root, folder.as_slice(), OPEN | OFlags::DIRECTORY, Mode::empty(), inside)
        {
            // Somebody else's mount, or gone or a link meanwhile.
            Err(Errno::XDEV | Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => continue,
            other => other?,
        };
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            if given_up.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => folders.push([&folder, &b"/"[..], name.to_bytes()].concat()),
                FileType::RegularFile => {
                    // Another one may be there by now.
                    let found = match rustix::fs::openat(&open, name, FIND, Mode::empty()) {
                        Err(Errno::NOENT) => continue,
                        other => other?,
                    };
                    if let Some(file) = subpath::regular(&found)? {
                        change(&file, &rustix::fs::fstat(&file)?, gid, mask)?;
                    }
                }
                _ => rustix::fs::chownat(&open, name, None, Some(gid), AtFlags::SYMLINK_NOFOLLOW)?,
            }
        }
        // The volume's own folder last: that it has the group means that all in it have.
        if folder != b"." {
            change(&open, &rustix::fs::fstat(&open)?, gid, mask | FOLDER)?;
        }
    }
    change(&root, &stat, gid, mask | FOLDER)
}

fn change(file: impl AsFd, stat: &Stat, gid: Gid, bits: u32) -> io::Result<()> {
    rustix::fs::fchown(&file, None, Some(gid))?;
    // After the owner: that takes set-group-ID away.
    Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(stat.st_mode & 0o7777 | bits))?)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn all_in_it_is_the_groups_and_links_are_not_followed() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().mode() & 0o7777;
        fs::create_dir_all(at("a/b")).unwrap();
        for name in ["a", "a/b"] {
            fs::set_permissions(at(name), Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(at("a/b/file"), "").unwrap();
        fs::set_permissions(at("a/b/file"), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(outside.path(), Permissions::from_mode(0o700)).unwrap();
        symlink(outside.path(), at("out")).unwrap();
        let go_on = AtomicBool::new(false);
        // A group that we have: nothing else can be given without being root.
        let id = i64::from(rustix::process::getgid().as_raw());
        give(dir.path(), FsGroup { id, on_mismatch_alone: false }, false, &go_on).unwrap();
        assert_eq!([mode("a"), mode("a/b"), mode("a/b/file")], [0o2770, 0o2770, 0o660]);
        assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(at("a/b/file"), Permissions::from_mode(0o600)).unwrap();
        give(dir.path(), FsGroup { id, on_mismatch_alone: true }, false, &go_on).unwrap();
        assert_eq!(mode("a/b/file"), 0o600, "the volume has the group already");
        give(dir.path(), FsGroup { id, on_mismatch_alone: false }, true, &go_on).unwrap();
        assert_eq!(mode("a/b/file"), 0o640);
        let given_up = give(dir.path(), FsGroup { id, on_mismatch_alone: false }, false, &AtomicBool::new(true));
        assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert_eq!(mode("a/b/file"), 0o640);
    }
}
