//! Finding out what the node has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::interface_files::InterfaceFiles;
use crate::mount_root::MountRoots;
use crate::trees::{MountedTree, MountedTrees};
use crate::{Cgroup, DetectError, GroupError, PathError, files, node};

/// `statfs` type of a cgroup2 file system.
const CGROUP2: u64 = 0x6367_7270;
/// `statfs` type of a version 1 hierarchy.
const CGROUP1: u64 = 0x0027_e0eb;

/// The node's control groups. Clones share it.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    pub(crate) trees: Arc<MountedTrees>,
}

impl Hierarchy {
    /// Looks at what is mounted at `root`, which is `/sys/fs/cgroup` on every common node.
    ///
    /// # Errors
    /// When there is no control group file system, or what is mounted can't be read.
    pub fn detect(root: &Path) -> Result<Self, DetectError> {
        let read = |source| DetectError::Read { root: root.to_path_buf(), source };
        let mut roots = MountRoots::open().map_err(DetectError::Mounts)?;
        if kind(root).map_err(read)? == CGROUP2 {
            let mounted = roots.root_at(root).map_err(read)?;
            let tree = MountedTree { dir: root.to_path_buf(), controllers: Vec::new(), mounted };
            return Ok(Self::of(true, vec![tree]));
        }
        let mut trees = Vec::new();
        for entry in fs::read_dir(root).map_err(read)?.flatten() {
            // Links such as cpu -> cpu,cpuacct name a tree a second time.
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let dir = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let controllers = match kind(&dir) {
                Ok(CGROUP1) if name == "systemd" => vec!["name=systemd".to_owned()],
                Ok(CGROUP1) => name.split(',').map(str::to_owned).collect(),
                // The extra tree of a hybrid node: no controllers, but runtimes make groups in it.
                Ok(CGROUP2) => Vec::new(),
                _ => continue,
            };
            let mounted = roots.root_at(&dir).map_err(read)?;
            trees.push(MountedTree { dir, controllers, mounted });
        }
        trees.sort_by(|a, b| a.dir.cmp(&b.dir));
        if !trees.iter().any(|tree| tree.controllers.iter().any(|name| !name.starts_with("name="))) {
            return Err(DetectError::None { root: root.to_path_buf() });
        }
        Ok(Self::of(false, trees))
    }

    fn of(v2: bool, trees: Vec<MountedTree>) -> Self {
        let mut trees = MountedTrees { v2, trees, hugepages: Vec::new(), pressure: false };
        trees.hugepages = node::hugepages(&trees);
        trees.pressure = node::has_pressure(&trees);
        Self { trees: Arc::new(trees) }
    }

    /// Whether groups tell for how long their tasks waited: [`crate::Stats::pressure`].
    #[must_use]
    pub fn has_pressure(&self) -> bool {
        self.trees.pressure
    }

    /// Whether huge pages are counted, [`crate::Stats::hugepages`], and whether their maximum is.
    #[must_use]
    pub fn counts_hugepages(&self) -> (bool, bool) {
        let counted = !self.trees.hugepages.is_empty();
        (counted, counted && !self.trees.v2)
    }

    /// Where its files are, or those of the tree whose membership counts.
    pub(crate) fn main_dir(&self) -> &Path {
        &self.trees.main_tree().dir
    }

    /// Whether the node has the unified hierarchy alone.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        self.trees.v2
    }

    /// The group of that path, whether it exists or not.
    ///
    /// # Errors
    /// When the path is relative, the root, or has `..` in it.
    pub fn cgroup(&self, path: &str) -> Result<Cgroup, PathError> {
        Ok(Cgroup::new(InterfaceFiles::new(self.trees.clone(), clean(path)?)))
    }

    /// The group that a process is in. On version 1 processes may sit in different groups of different trees; the one
    /// of the tree that killing uses counts. `None` for a process in the root.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of_process(&self, pid: u32) -> Result<Option<Cgroup>, GroupError> {
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let text = files::read(&path)?.ok_or_else(gone).map_err(GroupError::of("read", &path))?;
        let tree = self.trees.main_tree();
        let group = tree.group_in(&text);
        // Of a process that has just ended, whose group is removed already.
        let group = group.map(|group| group.strip_suffix(" (deleted)").unwrap_or(group));
        let below = group.map(|group| group.strip_prefix(tree.mounted.trim_end_matches('/')).unwrap_or(group));
        Ok(below.and_then(|path| self.cgroup(path).ok()))
    }
}

#[allow(clippy::unnecessary_cast, reason = "the type of f_type differs between architectures")]
fn kind(dir: &Path) -> io::Result<u64> {
    Ok(rustix::fs::statfs(dir)?.f_type as u64)
}

/// A path of a group as it is written: absolute, below the root, no slash at its end.
pub(crate) fn clean(path: &str) -> Result<String, PathError> {
    const LONGEST: usize = 255;
    let error = || PathError { path: path.to_owned(), why: PathError::PLAIN };
    let below = path.strip_prefix('/').ok_or_else(error)?.trim_matches('/');
    // The kernel makes no group whose name has a line feed: /proc/<pid>/cgroup has a line for each.
    let is_name =
        |part: &str| !matches!(part, "" | "." | "..") && part.len() <= LONGEST && !part.contains(['\0', '\n']);
    if below.split('/').all(is_name) { Ok(format!("/{below}")) } else { Err(error()) }
}
