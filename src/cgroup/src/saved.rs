//! Interface files as they were before a change, to be written again when it fails.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::{Cgroup, GroupError, files};

/// Members, not limits: written again, a number could be another process's by then.
const MEMBERS: [&str; 2] = ["cgroup.procs", "cgroup.threads"];

/// What interface files of one group held.
#[derive(Debug, Default)]
pub struct SavedFiles(Vec<SavedFile>);

#[derive(Debug)]
struct SavedFile {
    path: PathBuf,
    /// `None` where there was no such file.
    text: Option<String>,
}

impl Cgroup {
    /// Reads files by name. Those that can't be read or written hold no limits, and are left out.
    #[must_use]
    pub fn save<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> SavedFiles {
        let path = |name: &str| self.files().file(name.split('.').next().unwrap_or(name), name);
        let limits = names.into_iter().filter(|name| !MEMBERS.contains(name));
        let saved = limits.filter_map(path).filter_map(|path| {
            let text = files::read(&path).ok()?;
            (text.is_none() || is_writable(&path)).then_some(SavedFile { path, text })
        });
        SavedFiles(saved.collect())
    }

    /// Files that are to hold what they began with, as far as that is known, whatever they hold now.
    #[must_use]
    pub fn unset<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> SavedFiles {
        let mut files = self.save(names);
        files.0.iter_mut().for_each(|file| file.text = None);
        files
    }
}

impl SavedFiles {
    /// Writes again what has changed since, and answers what can't be had back.
    #[must_use]
    pub fn restore(&self) -> Vec<GroupError> {
        self.0.iter().filter_map(|file| file.restore().err()).collect()
    }
}

impl SavedFile {
    fn restore(&self) -> Result<(), GroupError> {
        let now = files::read(&self.path)?;
        let Some(text) = self.text.as_deref().or_else(|| self.unset()) else {
            return if now.is_none() { Ok(()) } else { Err(self.failed("what it began with is not known")) };
        };
        // The group is gone.
        let Some(now) = now else { return Ok(()) };
        if now.trim() == text.trim() {
            return Ok(());
        }
        if text.trim().is_empty() {
            // Nothing at all would not be a write.
            files::write(&self.path, "\n")?;
        }
        // The kernel takes one entry at a time.
        text.lines().filter(|line| !line.trim().is_empty()).try_for_each(|line| files::write(&self.path, line))?;
        match files::read(&self.path)? {
            Some(now) if now.trim() != text.trim() => Err(self.failed("the kernel keeps entries that were not there")),
            _ => Ok(()),
        }
    }

    /// What a file holds that comes with its controller, which OCI runtimes switch on when they need it.
    fn unset(&self) -> Option<&'static str> {
        let name = self.path.file_name()?.to_str()?;
        match name.split('.').next()? {
            "cpuset" if name.ends_with(".cpus") || name.ends_with(".mems") => Some(""),
            "hugetlb" if name.ends_with(".max") => Some("max"),
            _ => None,
        }
    }

    fn failed(&self, why: &'static str) -> GroupError {
        GroupError::of("restore", &self.path)(io::Error::other(why))
    }
}

fn is_writable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o222 != 0)
}

#[cfg(test)]
mod tests {
    use crate::tests::of_folder;

    #[test]
    fn what_has_changed_is_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let (put, get) = (
            |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap(),
            |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap(),
        );
        put("cpuset.cpus", "0-1\n");
        put("cpuset.mems", "0\n");
        put("cgroup.procs", "77\n");
        let saved = ["cpuset.cpus", "cpuset.mems", "hugetlb.2MB.max", "pids.max", "cgroup.procs"];
        let saved = of_folder(dir.path()).save(saved);
        put("cpuset.cpus", "0\n ");
        put("cgroup.procs", "");
        put("hugetlb.2MB.max", "2\n");
        assert!(saved.restore().is_empty());
        assert_eq!((get("cpuset.cpus").trim(), get("cpuset.mems").as_str()), ("0-1", "0\n"));
        assert_eq!((get("hugetlb.2MB.max").as_str(), get("cgroup.procs").as_str()), ("max", ""));
        put("hugetlb.2MB.max", "2\n");
        assert!(of_folder(dir.path()).unset(["hugetlb.2MB.max", "hugetlb.1GB.max"]).restore().is_empty());
        assert_eq!(get("hugetlb.2MB.max"), "max");
    }

    #[test]
    fn what_cannot_be_had_back_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("io.max", "8:0 rbps=1\n");
        let saved = of_folder(dir.path()).save(["io.max", "memory.high"]);
        put("io.max", "8:0 rbps=2\n8:16 rbps=3\n");
        put("memory.high", "7\n");
        let told: Vec<_> = saved.restore().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("io.max") && told[1].contains("memory.high"), "{told:?}");
    }
}
