//! The fingerprint of an unpacked layer: one digest over what the file system says about its entries, without reading a
//! file.
//!
//! Names, kinds, modes, owners, sizes, device numbers and link targets are in it: a file that is missing, truncated, or
//! of another kind changes it. Bytes that changed in place do not.

use crate::digest::{Digest, Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The names in a directory that have yet to come into the digest.
struct Level {
    /// With their NULs, as they were listed.
    names: Vec<u8>,
    /// Where each begins; sorted, the next one last.
    order: Vec<usize>,
}

/// Looks at everything below `root`, of any depth: one directory is open at a time. Blocks.
pub(crate) fn fingerprint(root: &Path) -> io::Result<Digest> {
    let mut hasher = Hasher::default();
    let mut dir = rustix::fs::open(root, LIST, Mode::empty())?;
    describe(&mut hasher, b"", &rustix::fs::fstat(&dir)?);
    let mut stack = vec![Level::list(&dir, &mut hasher)?];
    while let Some(level) = stack.last_mut() {
        let Some(name) = level.next() else {
            hasher.update(b"up\n");
            stack.pop();
            // Nobody but us changes layers: what is above is where we came from.
            if !stack.is_empty() {
                dir = rustix::fs::openat(&dir, "..", LIST, Mode::empty())?;
            }
            continue;
        };
        let stat = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        describe(&mut hasher, name.to_bytes(), &stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => text(&mut hasher, rustix::fs::readlinkat(&dir, name, Vec::new())?.as_bytes()),
            FileType::Directory => {
                dir = rustix::fs::openat(&dir, name, LIST, Mode::empty())?;
                let inner = Level::list(&dir, &mut hasher)?;
                stack.push(inner);
            }
            _ => {}
        }
    }
    Ok(hasher.finish())
}

impl Level {
    fn list(dir: &OwnedFd, hasher: &mut Hasher) -> rustix::io::Result<Self> {
        let (mut names, mut order) = (Vec::new(), Vec::new());
        for entry in Dir::read_from(dir.as_fd())? {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                order.push(names.len());
                names.extend_from_slice(entry.file_name().to_bytes_with_nul());
            }
        }
        order.sort_unstable_by(|a, b| name_at(&names, *b).cmp(name_at(&names, *a)));
        let mut value = [0; 1];
        match rustix::fs::fgetxattr(dir, "trusted.overlay.opaque", &mut value) {
            Ok(_) => hasher.update(b"opaque\n"),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(other) => return Err(other),
        }
        Ok(Self { names, order })
    }

    fn next(&mut self) -> Option<&CStr> {
        let at = self.order.pop()?;
        Some(name_at(&self.names, at))
    }
}

fn name_at(names: &[u8], at: usize) -> &CStr {
    CStr::from_bytes_until_nul(&names[at..]).unwrap_or_default()
}

#[allow(clippy::unnecessary_cast, reason = "the types of a stat's fields differ between architectures")]
fn describe(hasher: &mut Hasher, name: &[u8], stat: &Stat) {
    text(hasher, name);
    let kind = FileType::from_raw_mode(stat.st_mode);
    let size = if kind == FileType::RegularFile { stat.st_size as u64 } else { 0 };
    let device =
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) { stat.st_rdev as u64 } else { 0 };
    for number in [u64::from(stat.st_mode), u64::from(stat.st_uid), u64::from(stat.st_gid), size, device] {
        hasher.update(&number.to_le_bytes());
    }
}

/// With its length: no two trees read the same.
fn text(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::fingerprint;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn depth_costs_no_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let deep = |name: &str| "d/".repeat(400) + name;
        let root = dir.path().join("diff");
        for name in ["one", "two"] {
            fs::create_dir_all(root.join(deep(name))).unwrap();
        }
        let opened = || fs::read_dir("/proc/self/fd").unwrap().count();
        let (before, whole) = (opened(), fingerprint(&root).unwrap());
        assert!(opened() < before + 100);
        fs::set_permissions(root.join(deep("one")), fs::Permissions::from_mode(0o700)).unwrap();
        assert_ne!(fingerprint(&root).unwrap(), whole);
        peapod_sys::remove_tree(&root).unwrap();
    }

    #[test]
    fn every_change_that_a_broken_disk_makes_shows() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("diff");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::create_dir_all(root.join("var/empty")).unwrap();
        fs::write(root.join("usr/bin/tool"), vec![1; 5000]).unwrap();
        fs::write(root.join("etc"), "").unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        let whole = fingerprint(&root).unwrap();
        assert_eq!(fingerprint(&root).unwrap(), whole);
        let mut prints = vec![whole.clone()];
        let mut changed = |what: &str, change: &dyn Fn(), back: &dyn Fn()| {
            change();
            let found = fingerprint(&root).unwrap();
            assert!(!prints.contains(&found), "{what}");
            prints.push(found);
            back();
            assert_eq!(fingerprint(&root).unwrap(), whole, "{what}");
        };
        let tool = root.join("usr/bin/tool");
        changed("truncated", &|| fs::write(&tool, [1; 4999]).unwrap(), &|| fs::write(&tool, vec![1; 5000]).unwrap());
        changed("gone", &|| fs::rename(&tool, dir.path().join("kept")).unwrap(), &|| {
            fs::rename(dir.path().join("kept"), &tool).unwrap();
        });
        changed("moved", &|| fs::rename(&tool, root.join("usr/tool")).unwrap(), &|| {
            fs::rename(root.join("usr/tool"), &tool).unwrap();
        });
        let mode = |mode| fs::set_permissions(root.join("etc"), fs::Permissions::from_mode(mode)).unwrap();
        changed("mode", &|| mode(0o4644), &|| mode(0o644));
        changed("directory gone", &|| fs::remove_dir(root.join("var/empty")).unwrap(), &|| {
            fs::create_dir(root.join("var/empty")).unwrap();
        });
        changed(
            "link",
            &|| {
                fs::remove_file(root.join("bin")).unwrap();
                symlink("usr/bim", root.join("bin")).unwrap();
            },
            &|| {
                fs::remove_file(root.join("bin")).unwrap();
                symlink("usr/bin", root.join("bin")).unwrap();
            },
        );
    }
}
