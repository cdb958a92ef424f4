//! Which part of a file system a mount shows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use peapod_sys::mountinfo::Mounts;
use rustix::fs::{AtFlags, CWD, StatxFlags};

/// Roots of mounts by number, read only as far as they have to be: control groups are mounted first, containers' file
/// systems last.
pub(crate) struct MountRoots<R> {
    mounts: Mounts<R>,
    /// Of the mounts that were read past.
    seen: HashMap<u64, String>,
}

impl MountRoots<BufReader<File>> {
    /// Those that the calling thread sees.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self::new(Mounts::open()?))
    }
}

impl<R: BufRead> MountRoots<R> {
    fn new(mounts: Mounts<R>) -> Self {
        Self { mounts, seen: HashMap::new() }
    }

    /// What `dir` shows of its file system, if something is mounted there: `/` for all of it.
    pub(crate) fn root_at(&mut self, dir: &Path) -> io::Result<String> {
        // By number, as several mounts may be on top of each other.
        let id = rustix::fs::statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id;
        Ok(self.root_of(id)?.unwrap_or("/").to_owned())
    }

    fn root_of(&mut self, id: u64) -> io::Result<Option<&str>> {
        while !self.seen.contains_key(&id)
            && let Some(mount) = self.mounts.next_mount()?
        {
            // Other mounts' paths may be any bytes; groups that peapod makes or is put into are text.
            self.seen.insert(mount.id, mount.root().to_string_lossy().into_owned());
        }
        Ok(self.seen.get(&id).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    const TEXT: &[u8] = b"21 1 0:4 / /proc rw - proc proc rw\n\
        30 21 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        31 21 0:27 /kubepods/a /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        32 21 0:28 / /odd\xff rw - tmpfs tmpfs rw\n\
        33 21 0:27 /b /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn reads_no_further_than_it_must() {
        let mut roots = MountRoots::new(Mounts::new(TEXT));
        let root = |roots: &mut MountRoots<_>, id| roots.root_of(id).unwrap().map(str::to_owned);
        assert_eq!(root(&mut roots, 31).as_deref(), Some("/kubepods/a"));
        assert!(!roots.seen.contains_key(&32));
        assert_eq!(root(&mut roots, 30).as_deref(), Some("/"));
        assert!(!roots.seen.contains_key(&32));
        assert_eq!(root(&mut roots, 33).as_deref(), Some("/b"));
        assert_eq!(root(&mut roots, 34), None);
    }

    /// In a mount namespace of its own. Needs root.
    #[test]
    #[ignore = "needs root"]
    fn finds_the_mount_on_top() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        let look = || {
            let none: Option<&str> = None;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let root = || MountRoots::open().unwrap().root_at(&place).unwrap();
            std::fs::create_dir(&place).unwrap();
            for part in ["below", "above"] {
                let part = dir.path().join(part);
                std::fs::create_dir(&part).unwrap();
                mount(Some(&part), &place, none, MsFlags::MS_BIND, none).unwrap();
                assert!(Path::new(&root()).ends_with(part.file_name().unwrap()), "{}", root());
            }
            mount(Some("tmpfs"), &place, Some("tmpfs"), MsFlags::empty(), none).unwrap();
            assert_eq!(root(), "/");
        };
        std::thread::scope(|scope| scope.spawn(look).join().unwrap());
        let missing = MountRoots::open().unwrap().root_at(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
