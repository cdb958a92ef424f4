//! The group of a pod's volumes (fsGroup), as a kubelet gives it to them.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::subpath;
use crate::bounds::{GROUP_ENTRIES, GROUP_FOLDER_BYTES, GROUP_TIME};
use crate::manifest::FsGroup;

/// What the group may: write, or in volumes that nobody writes into only read.
const WRITE: u32 = 0o660;
const READ: u32 = 0o440;
/// Folders are searched, and give their group to what is made in them.
const FOLDER: u32 = 0o2110;

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

const FIND: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives the group all that is in a volume. Links are given, but never followed. It ends early once `given_up` is true,
/// and with an error where the volume has more in it than anybody should wait for.
pub(super) fn give(volume: &Path, group: FsGroup, read_only: bool, given_up: &AtomicBool) -> io::Result<()> {
    give_within(Effort::default(), volume, group, read_only, given_up)
}

/// How much may still be done for one volume: whoever writes into it says what there is to do.
struct Effort {
    entries: usize,
    folder_bytes: usize,
    until: Instant,
}

impl Default for Effort {
    fn default() -> Self {
        Self { entries: GROUP_ENTRIES, folder_bytes: GROUP_FOLDER_BYTES, until: Instant::now() + GROUP_TIME }
    }
}

impl Effort {
    /// For one more thing in the volume.
    fn entry(&mut self) -> Result<(), String> {
        self.entries = self.entries.checked_sub(1).ok_or_else(|| format!("more than {GROUP_ENTRIES} files"))?;
        let is_late = Instant::now() > self.until;
        if is_late { Err(format!("more files than {} s are enough for", GROUP_TIME.as_secs())) } else { Ok(()) }
    }

    /// Remembers a folder.
    fn folder(&mut self, path: &[u8]) -> Result<(), String> {
        let left = self.folder_bytes.checked_sub(path.len() + size_of::<Vec<u8>>());
        self.folder_bytes =
            left.ok_or_else(|| format!("folders whose paths have more than {} MiB", GROUP_FOLDER_BYTES >> 20))?;
        Ok(())
    }

    /// Has looked into it.
    fn is_through(&mut self, path: &[u8]) {
        self.folder_bytes += path.len() + size_of::<Vec<u8>>();
    }
}

fn too_much(volume: &Path, gid: Gid, has: &str) -> io::Error {
    io::Error::other(format!(
        "{} has {has}: give them to group {} yourself (chgrp -R, chmod -R g+rwX, and chmod g+s for folders) and say \
         fsGroupChangePolicy: OnRootMismatch, or leave fsGroup out",
        volume.display(),
        gid.as_raw()
    ))
}

fn give_within(
    mut effort: Effort,
    volume: &Path,
    group: FsGroup,
    read_only: bool,
    given_up: &AtomicBool,
) -> io::Result<()> {
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
    let too_much = |has: String| too_much(volume, gid, &has);
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
            effort.entry().map_err(too_much)?;
            let stat = match rustix::fs::statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let path = [&folder, &b"/"[..], name.to_bytes()].concat();
                    effort.folder(&path).map_err(too_much)?;
                    folders.push(path);
                }
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
            effort.is_through(&folder);
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

    #[test]
    fn what_nobody_should_wait_for_is_refused_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "a/b", "a/b/c", "d", "e"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let go_on = AtomicBool::new(false);
        let id = i64::from(rustix::process::getgid().as_raw());
        let given = |change: fn(&mut Effort)| {
            let mut effort = Effort::default();
            change(&mut effort);
            let group = FsGroup { id, on_mismatch_alone: false };
            give_within(effort, dir.path(), group, false, &go_on).map_err(|error| error.to_string())
        };
        // At most three folders are remembered at the same time, the longest as `./a/b/c`.
        assert_eq!(given(|effort| effort.entries = 5), Ok(()));
        assert_eq!(given(|effort| effort.folder_bytes = 3 * (7 + size_of::<Vec<u8>>())), Ok(()));
        let refused = [
            (given(|effort| effort.entries = 4), "more than 4000000 files"),
            (given(|effort| effort.folder_bytes = 2 * (7 + size_of::<Vec<u8>>())), "whose paths have more than 64 MiB"),
            (given(|effort| effort.until = Instant::now()), "more files than 600 s are enough for"),
        ];
        for (given, why) in refused {
            let said = given.unwrap_err();
            assert!(said.contains(why) && said.contains("OnRootMismatch") && said.contains("chgrp"), "{said}");
            assert!(said.starts_with(&dir.path().display().to_string()), "{said}");
        }
    }
}
