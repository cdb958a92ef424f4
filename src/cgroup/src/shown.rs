//! Which part of a file system a mount shows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};

/// The table of mounts, proc_pid_mountinfo(5), read only as far as it has to be: the kernel writes each line when it is read, a node with
/// many containers has hundreds of them, and control groups are mounted first.
pub(crate) struct Mounts<R> {
    lines: R,
    /// Roots of the mounts that were read past, by number.
    seen: HashMap<u64, String>,
}

impl Mounts<BufReader<File>> {
    /// Those that the caller sees.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self::new(BufReader::new(File::open("/proc/self/mountinfo")?)))
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
    use super::*;

    const TABLE: &[u8] = b"21 1 0:4 / /proc rw - proc proc rw\n\
        30 21 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        31 21 0:27 /kubepods/a /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        32 21 0:28 / /odd\xff rw - tmpfs tmpfs rw\n\
        no mount\n\
        33 21 0:27 /b /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";

    #[test]
    fn reads_no_further_than_it_must() {
        let mut mounts = Mounts::new(TABLE);
        assert_eq!(mounts.root_of(31).unwrap(), Some("/kubepods/a"));
        assert!(mounts.lines.starts_with(b"32 "));
        assert_eq!(mounts.root_of(30).unwrap(), Some("/"));
        assert!(mounts.lines.starts_with(b"32 "));
        assert_eq!(mounts.root_of(33).unwrap(), Some("/b"));
        assert_eq!(mounts.root_of(34).unwrap(), None);
    }

    #[test]
    fn finds_the_mount_of_a_directory() {
        assert_eq!(Mounts::open().unwrap().root_at(Path::new("/proc")).unwrap(), "/");
        let dir = Path::new("/proc/no-such-directory");
        assert_eq!(Mounts::open().unwrap().root_at(dir).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
