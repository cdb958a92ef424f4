//! The lock that all moves of processes between groups share.

use std::path::{Path, PathBuf};

use crate::trees::MountedTree;
use crate::{GroupError, Hierarchy, files, version};

impl Hierarchy {
    /// Moves the caller into the group that it is in, which changes nothing.
    ///
    /// The first move in a while waits for an RCU grace period (6 to 10 ms), those that follow within about 10 ms of it
    /// don't: forks and exits are counted in a cheap way that moves have to switch off (`cgroup_threadgroup_rwsem` in
    /// the kernel's kernel/cgroup/cgroup.c, and kernel/rcu/sync.c). Who knows that a move is coming calls this ahead,
    /// and the wait is over when it comes. Blocks as long.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn warm_up_moves(&self) -> Result<(), GroupError> {
        let (groups, file, number) = (version::of(&self.trees).caller)();
        let text = files::read(Path::new(groups))?.unwrap_or_default();
        let Some(dir) = self.trees.main_tree().dir_in(&text) else { return Ok(()) };
        files::write(&dir.join(file), &number.to_string())
    }
}

impl MountedTree {
    /// The directory of the group that a text like that of `/proc/self/cgroup` names. `None` where only a part of the
    /// tree is shown, and the group is not in it.
    fn dir_in(&self, text: &str) -> Option<PathBuf> {
        let below = self.group_in(text)?.strip_prefix(self.mounted.trim_end_matches('/'))?;
        let inside = (below.is_empty() || below.starts_with('/')) && !below.split('/').any(|part| part == "..");
        inside.then(|| self.dir.join(below.trim_start_matches('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_group() {
        let tree = |mounted: &str, controllers: &[&str]| MountedTree {
            dir: "/sys/fs/cgroup/pids".into(),
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            mounted: mounted.to_owned(),
        };
        let text = "3:cpu,cpuacct:/other\n2:pids:/a/b\n0::/c\n";
        let dir = |tree: MountedTree, text: &str| tree.dir_in(text).map(|dir| dir.display().to_string());
        assert_eq!(dir(tree("/", &["pids"]), text).as_deref(), Some("/sys/fs/cgroup/pids/a/b"));
        assert_eq!(dir(tree("/a", &["pids"]), text).as_deref(), Some("/sys/fs/cgroup/pids/b"));
        assert_eq!(dir(tree("/a/b", &["pids"]), text).as_deref(), Some("/sys/fs/cgroup/pids/"));
        assert_eq!(dir(tree("/", &[]), text).as_deref(), Some("/sys/fs/cgroup/pids/c"));
        assert_eq!(dir(tree("/", &["pids"]), "2:pids:/\n").as_deref(), Some("/sys/fs/cgroup/pids/"));
        for (mounted, text) in [("/a/bc", text), ("/aa", text), ("/", "2:pids:/../x"), ("/", "2:cpu:/x"), ("/", "")] {
            assert_eq!(dir(tree(mounted, &["pids"]), text), None, "{mounted} {text}");
        }
    }
}
