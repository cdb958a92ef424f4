//! Limiting a group with all below it: its files are written, as nobody else would for a group without processes.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use nix::errno::Errno;

use crate::interface_files::InterfaceFiles;
use crate::total_limits::{LimitFile, LimitKind};
use crate::{Cgroup, GroupError, TotalLimits, files, version};

impl Cgroup {
    /// Sets all limits of a group that exists, those that are none included. After an error some may be set.
    ///
    /// # Errors
    /// When the node does not count what is to be limited, or the kernel refuses.
    pub fn limit_total(&self, limits: &TotalLimits) -> Result<(), GroupError> {
        let version = version::of(self.files().trees());
        let all = (version.total_limits)(limits, self.files());
        let needed = all.iter().filter(|file| file.kind == LimitKind::Limit);
        let needed: BTreeSet<String> = needed.map(|file| file.controller().to_owned()).collect();
        // Whoever is refused it may have it all the same.
        let handed_down = (version.hand_down)(self.files(), &needed);
        let mut refused = handed_down.err();
        let mut lifts: Vec<_> = all.iter().filter(|file| file.kind == LimitKind::Lift).collect();
        for file in all.iter().filter(|file| file.kind != LimitKind::Lift) {
            if holds(self.files(), file) {
                continue;
            }
            let mut written = write(self.files(), file);
            if written.as_ref().is_err_and(|error| error.source.raw_os_error() == Some(Errno::EINVAL as i32))
                && let Some(at) = lifts.iter().position(|lift| lift.controller() == file.controller())
            {
                // What it was before keeps this one away.
                written = write(self.files(), lifts.remove(at)).and_then(|()| write(self.files(), file));
            }
            if let Err(error) = written {
                return Err(if error.is_gone() { refused.take().unwrap_or(error) } else { error });
            }
        }
        Ok(())
    }
}

fn holds(group: &InterfaceFiles, file: &LimitFile) -> bool {
    let now = group.text(file.controller(), &file.name);
    now.is_ok_and(|now| now.trim() == file.text && !now.is_empty())
}

fn write(group: &InterfaceFiles, file: &LimitFile) -> Result<(), GroupError> {
    let path = match (group.file(file.controller(), &file.name), file.kind) {
        (Some(path), LimitKind::Limit) => path,
        (Some(path), _) if path.exists() => path,
        (None, LimitKind::Limit) => {
            let missing = group.main_dir().join(&file.name);
            return Err(GroupError::of("write", &missing)(ErrorKind::NotFound.into()));
        }
        _ => return Ok(()),
    };
    // Nothing at all would not be a write.
    files::write(&path, if file.text.is_empty() { "\n" } else { &file.text })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::trees::{MountedTree, MountedTrees};

    fn limits() -> TotalLimits {
        TotalLimits {
            memory: Some(64 << 20),
            memory_and_swap: Some(96 << 20),
            cpu: Some((50_000, 100_000)),
            cpu_shares: Some(1024),
            cpus: "0-1".to_owned(),
            mems: String::new(),
            hugepages: [("2MB".to_owned(), 4 << 20)].into(),
            files: [("pids.max".to_owned(), "7\n".to_owned())].into(),
        }
    }

    fn group(root: &Path, v2: bool) -> Cgroup {
        let trees: &[&str] = if v2 { &[""] } else { &["cpuset", "cpu", "memory", "pids", "hugetlb"] };
        let tree = |name: &&str| MountedTree {
            dir: root.join(name),
            controllers: if v2 { Vec::new() } else { vec![(*name).to_owned()] },
            mounted: "/".to_owned(),
        };
        let trees = trees.iter().map(tree).collect();
        let trees = MountedTrees { v2, trees, hugepages: vec!["1GB".to_owned()], pressure: false };
        Cgroup::new(InterfaceFiles::new(Arc::new(trees), "/peapod/pod1".to_owned()))
    }

    fn put(group: &Cgroup, name: &str, text: &str) {
        let file = LimitFile::new(name, "", LimitKind::Limit);
        let path = group.files().file(file.controller(), name).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn get(group: &Cgroup, name: &str) -> String {
        group.files().text(name.split('.').next().unwrap(), name).unwrap().trim().to_owned()
    }

    fn lines(all: &[LimitFile]) -> Vec<String> {
        all.iter().map(|file| format!("{} {} {:?}", file.name, file.text, file.kind)).collect()
    }

    #[test]
    fn each_version_has_its_files_and_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(dir.path(), false);
        let mems = dir.path().join("cpuset/peapod");
        std::fs::create_dir_all(&mems).unwrap();
        std::fs::write(mems.join("cpuset.mems"), "0\n").unwrap();
        let v1 = version::of(group.files().trees()).total_limits;
        let wanted = "memory.use_hierarchy 1 WhereThere
            cpuset.cpus 0-1 Limit
            cpuset.mems 0 WhereThere
            cpu.shares 1024 Limit
            cpu.cfs_quota_us -1 Lift
            cpu.cfs_period_us 100000 Limit
            cpu.cfs_quota_us 50000 Limit
            memory.memsw.limit_in_bytes -1 Lift
            memory.limit_in_bytes 67108864 Limit
            memory.memsw.limit_in_bytes 100663296 Limit
            pids.max 7 Limit
            hugetlb.1GB.limit_in_bytes -1 WhereThere
            hugetlb.1GB.rsvd.limit_in_bytes -1 WhereThere
            hugetlb.2MB.limit_in_bytes 4194304 Limit
            hugetlb.2MB.rsvd.limit_in_bytes 4194304 WhereThere";
        assert_eq!(lines(&v1(&limits(), group.files())), wanted.lines().map(str::trim).collect::<Vec<_>>());
        let group = self::group(dir.path(), true);
        let v2 = version::of(group.files().trees()).total_limits;
        let more = TotalLimits { files: [("io.weight".to_owned(), "5".to_owned())].into(), ..limits() };
        let wanted = "cpuset.cpus 0-1 Limit
            cpuset.mems  WhereThere
            cpu.weight 39 Limit
            cpu.max 50000 100000 Limit
            memory.min 0 WhereThere
            memory.low 0 WhereThere
            memory.high max WhereThere
            memory.swap.max 33554432 Limit
            memory.max 67108864 Limit
            memory.oom.group 0 WhereThere
            pids.max max WhereThere
            hugetlb.1GB.max max WhereThere
            hugetlb.1GB.rsvd.max max WhereThere
            hugetlb.2MB.max 4194304 Limit
            hugetlb.2MB.rsvd.max 4194304 WhereThere
            io.weight 5 Limit";
        assert_eq!(lines(&v2(&more, group.files())), wanted.lines().map(str::trim).collect::<Vec<_>>());
        assert!(v2(&TotalLimits::default(), group.files()).iter().all(|file| file.kind == LimitKind::WhereThere));
    }

    /// Plain files, which take whatever is written at their beginning.
    #[test]
    fn limits_are_written_and_taken_off_again() {
        let dir = tempfile::tempdir().unwrap();
        let group = group(dir.path(), true);
        for (name, text) in [("memory.max", "max\n"), ("memory.swap.max", "max\n"), ("cpu.max", "max 100000\n")] {
            put(&group, name, text);
        }
        for name in ["", "peapod"] {
            let above = dir.path().join(name);
            std::fs::write(above.join("cgroup.controllers"), "cpu memory\n").unwrap();
            std::fs::write(above.join("cgroup.subtree_control"), if name.is_empty() { "memory\n" } else { "" })
                .unwrap();
        }
        let two = TotalLimits { memory: Some(5), memory_and_swap: Some(5), cpu: Some((1, 2)), ..Default::default() };
        group.limit_total(&two).unwrap();
        let held = ["memory.max", "memory.swap.max", "cpu.max"].map(|name| get(&group, name)[..1].to_owned());
        assert_eq!(held, ["5", "0", "1"]);
        let handed =
            |name: &str| std::fs::read_to_string(dir.path().join(name).join("cgroup.subtree_control")).unwrap();
        assert!(handed("").starts_with("+cpu") && handed("peapod").starts_with('+'));
        // As the kernel would hold it.
        put(&group, "cpu.max", "1 2\n");
        group.limit_total(&TotalLimits::default()).unwrap();
        assert!(get(&group, "memory.max").starts_with("max") && get(&group, "cpu.max") == "max 100000");
        let error = group.limit_total(&limits()).unwrap_err();
        assert!(error.is_gone() && error.to_string().contains("cpuset.cpus"), "{error}");
    }
}
