//! One control group.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::hierarchy::Inner;
use crate::{GroupError, Stats, files};

/// A control group by its path, in all trees of the node. It need not exist.
#[derive(Clone, Debug)]
pub struct Cgroup {
    inner: Arc<Inner>,
    path: String,
}

impl Cgroup {
    pub(crate) fn new(inner: Arc<Inner>, path: String) -> Self {
        Self { inner, path }
    }

    /// Its path below the root: `/kubepods/pod1/abc`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it exists in the tree whose membership counts.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.main_dir().is_dir()
    }

    /// Makes the group, with all above it, in every tree, able to hold processes. One that exists is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(&self) -> Result<(), GroupError> {
        for tree in &self.inner.trees {
            let mut dir = tree.dir.clone();
            for part in self.path.split('/').filter(|part| !part.is_empty()) {
                dir.push(part);
                match fs::create_dir(&dir) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(GroupError::of("make", &dir)(error));
                    }
                    _ => (self.inner.table.prepare)(&dir)?,
                }
            }
        }
        Ok(())
    }

    /// Moves a process into the group, in every tree. Waits for an RCU grace period (10 ms): not for hot paths.
    ///
    /// # Errors
    /// When the group is missing or the kernel refuses.
    pub fn attach(&self, pid: u32) -> Result<(), GroupError> {
        self.enter("cgroup.procs", pid)
    }

    /// Makes the group and moves the calling thread into it, so that what it starts is born there. Version 2 moves threads
    /// only within a threaded subtree: there the group is made and the thread stays, and [`Cgroup::attach`] moves the child.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter_thread(&self) -> Result<(), GroupError> {
        self.create()?;
        if self.inner.table.v2 {
            return Ok(());
        }
        self.enter("tasks", u32::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0))
    }

    fn enter(&self, file: &str, task: u32) -> Result<(), GroupError> {
        for tree in &self.inner.trees {
            // The extra cgroup2 tree of a hybrid node knows no threads and limits nothing.
            if tree.controllers.is_empty() && !self.inner.table.v2 {
                continue;
            }
            files::write(&self.below(&tree.dir).join(file), &task.to_string())?;
        }
        Ok(())
    }

    /// All processes of the group and of those below it; none when it does not exist.
    ///
    /// # Errors
    /// When a list can't be read.
    pub fn pids(&self) -> Result<Vec<u32>, GroupError> {
        let mut pids = Vec::new();
        files::walk(&self.main_dir(), &mut |dir| {
            let text = files::read(&dir.join("cgroup.procs"))?.unwrap_or_default();
            // 0: a process of a PID namespace that is not ours.
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
            Ok(())
        })?;
        Ok(pids)
    }

    /// Whether no process is in it or below it. A group that does not exist is empty.
    ///
    /// # Errors
    /// When a list can't be read.
    pub fn is_empty(&self) -> Result<bool, GroupError> {
        Ok(self.pids()?.is_empty())
    }

    /// Sends KILL to every process of the group and below. Does not wait for them to be gone: call it again until
    /// [`Cgroup::is_empty`].
    ///
    /// # Errors
    /// When the kernel refuses; a group that is gone is killed.
    pub fn kill(&self) -> Result<(), GroupError> {
        (self.inner.table.kill)(self)
    }

    /// How many processes of the group and below the kernel killed for lack of memory.
    ///
    /// # Errors
    /// When the count can't be read.
    pub fn oom_kills(&self) -> Result<u64, GroupError> {
        (self.inner.table.oom_kills)(self)
    }

    /// What it uses now.
    ///
    /// # Errors
    /// When the group does not exist or a file can't be read.
    pub fn stats(&self) -> Result<Stats, GroupError> {
        let dir = self.main_dir();
        fs::metadata(&dir).map_err(GroupError::of("read", &dir))?;
        (self.inner.table.stats)(self)
    }

    /// Removes the group and all below it from every tree. Goes on over errors and answers the first. Right after the last
    /// process has ended the kernel may still say "busy": call it again.
    ///
    /// # Errors
    /// When a group has processes or the kernel refuses; one that is gone is removed.
    pub fn remove(&self) -> Result<(), GroupError> {
        let mut first = Ok(());
        for tree in &self.inner.trees {
            let outcome = files::walk(&self.below(&tree.dir), &mut |dir| match fs::remove_dir(dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(GroupError::of("remove", dir)(error)),
                _ => Ok(()),
            });
            first = first.and(outcome);
        }
        first
    }

    /// Its directory in the tree with that controller.
    pub(crate) fn dir(&self, controller: &str) -> Option<PathBuf> {
        self.inner.tree(controller).map(|tree| self.below(&tree.dir))
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

    fn main_dir(&self) -> PathBuf {
        self.below(&self.inner.main_tree().dir)
    }

    fn below(&self, tree: &std::path::Path) -> PathBuf {
        tree.join(self.path.trim_start_matches('/'))
    }
}
