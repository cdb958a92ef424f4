//! The files by which the kernel tells and takes everything about one group, in all trees of the node.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::trees::MountedTrees;
use crate::walk::walk_while;
use crate::{GroupError, files};

/// Where a group's files are. The group need not exist.
#[derive(Clone, Debug)]
pub(crate) struct InterfaceFiles {
    trees: Arc<MountedTrees>,
    path: String,
}

impl InterfaceFiles {
    pub(crate) fn new(trees: Arc<MountedTrees>, path: String) -> Self {
        Self { trees, path }
    }

    pub(crate) fn trees(&self) -> &MountedTrees {
        &self.trees
    }

    /// The group's path below the root: `/kubepods/pod1/abc`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Those of another group.
    pub(crate) fn of(&self, path: String) -> Self {
        Self { trees: self.trees.clone(), path }
    }

    /// Its directory in the tree with that controller.
    pub(crate) fn dir(&self, controller: &str) -> Option<PathBuf> {
        self.trees.tree(controller).map(|tree| self.below(&tree.dir))
    }

    pub(crate) fn file(&self, controller: &str, name: &str) -> Option<PathBuf> {
        self.dir(controller).map(|dir| dir.join(name))
    }

    /// A file's text; empty where the controller, the group or the file is missing.
    pub(crate) fn text(&self, controller: &str, name: &str) -> Result<String, GroupError> {
        let Some(file) = self.file(controller, name) else { return Ok(String::new()) };
        Ok(files::read(&file)?.unwrap_or_default())
    }

    pub(crate) fn number(&self, controller: &str, name: &str) -> Result<Option<u64>, GroupError> {
        self.file(controller, name).map_or(Ok(None), |file| files::number(&file))
    }

    pub(crate) fn main_dir(&self) -> PathBuf {
        self.below(&self.trees.main_tree().dir)
    }

    pub(crate) fn below(&self, tree: &Path) -> PathBuf {
        tree.join(self.path.trim_start_matches('/'))
    }

    /// Moves a task into the group, in every tree, by that file.
    pub(crate) fn enter(&self, file: &str, task: u32) -> Result<(), GroupError> {
        for tree in &self.trees.trees {
            // The extra cgroup2 tree of a hybrid node knows no threads and limits nothing.
            if tree.controllers.is_empty() && !self.trees.v2 {
                continue;
            }
            files::write(&self.below(&tree.dir).join(file), &task.to_string())?;
        }
        Ok(())
    }

    /// All processes of the group and of those below it; none when it does not exist.
    pub(crate) fn pids(&self) -> Result<Vec<u32>, GroupError> {
        self.pids_while(|| true).map(Option::unwrap_or_default)
    }

    pub(crate) fn pids_while(&self, go_on: impl FnMut() -> bool) -> Result<Option<Vec<u32>>, GroupError> {
        let mut pids = Vec::new();
        let whole = walk_while(&self.main_dir(), go_on, &mut |dir| {
            let text = match files::read(&dir.join("cgroup.procs")) {
                // A threaded group: its processes are listed where its threads began.
                Err(error) if error.source.raw_os_error() == Some(nix::errno::Errno::EOPNOTSUPP as i32) => None,
                other => other?,
            };
            let text = text.unwrap_or_default();
            // 0: a process of a PID namespace that is not ours.
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
            Ok(())
        })?;
        Ok(whole.then_some(pids))
    }
}
