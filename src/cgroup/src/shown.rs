//! Which part of a file system a mount shows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};

/// The mounts that the calling thread sees.
pub(crate) const TABLE: &str = "/proc/thread-self/mountinfo";

/// The table of mounts, proc_pid_mountinfo(5), read only as far as it has to be: the kernel writes each line when it is read, a node with
/// many containers has hundreds of them, and control groups are mounted first.
pub(crate) struct Mounts<R> {
    lines: R,
    /// Roots of the mounts that were read past, by number.
    seen: HashMap<u64, String>,
}

impl Mounts<BufReader<File>> {
    /// Opens [`TABLE`].
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self::new(BufReader::new(File::open(TABLE)?)))
    }
}

impl<R: BufRead> Mounts<R> {
    fn new(lines: R) -> Self {
        Self { lines, seen: HashMap::new() }
    }

    /// What `dir` shows of its file system, if something is mounted there: `/` for all of it.
    pub(crate) fn root_at(&mut self, dir: &Path) -> io::Result<String> {
        // By number, as several mounts may be on top of each other.
        let id = rustix::fs::statx(CWD, dir, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id;
        Ok(self.root_of(id)?.unwrap_or("/").to_owned())
    }

    fn root_of(&mut self, id: u64) -> io::Result<Option<&str>> {
        let mut line = Vec::new();
        while !self.seen.contains_key(&id) && self.lines.read_until(b'\n', &mut line)? > 0 {
            // Other mounts' paths may be any bytes.
            let text = String::from_utf8_lossy(&line);
            if let Some((id, root)) = id_and_root(&text) {
                self.seen.insert(id, root.to_owned());
            }
            line.clear();
        }
        Ok(self.seen.get(&id).map(String::as_str))
    }
}

/// The first and the fourth field.
fn id_and_root(line: &str) -> Option<(u64, &str)> {
    let mut fields = line.split(' ');
    Some((fields.next()?.parse().ok()?, fields.nth(2)?))
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
        no mount\n\
        33 21 0:27 /b /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn reads_no_further_than_it_must() {
        let mut mounts = Mounts::new(TEXT);
        assert_eq!(mounts.root_of(31).unwrap(), Some("/kubepods/a"));
        assert!(mounts.lines.starts_with(b"32 "));
        assert_eq!(mounts.root_of(30).unwrap(), Some("/"));
        assert!(mounts.lines.starts_with(b"32 "));
        assert_eq!(mounts.root_of(33).unwrap(), Some("/b"));
        assert_eq!(mounts.root_of(34).unwrap(), None);
    }

    /// In a mount namespace of its own. Needs root.
    #[test]
    fn finds_the_mount_on_top() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        let look = || {
            let none: Option<&str> = None;
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let root = || Mounts::open().unwrap().root_at(&place).unwrap();
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
        let missing = Mounts::open().unwrap().root_at(&dir.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
