//! One control group.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use crate::hierarchy::MountedTrees;
use crate::oom::OomWatch;
use crate::walk::walk;
use crate::{GroupError, Shared, SpawnTarget, Stats, files};

/// The number of the calling thread.
pub(crate) fn thread() -> u32 {
    u32::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0)
}

/// A control group by its path, in all trees of the node. It need not exist.
#[derive(Clone, Debug)]
pub struct Cgroup {
    inner: Arc<MountedTrees>,
    path: String,
}

impl Cgroup {
    pub(crate) fn new(inner: Arc<MountedTrees>, path: String) -> Self {
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

    /// Makes the group and prepares the calling thread for starting children that are born in it: on version 1 by
    /// sitting in it itself, on version 2, which moves no single threads, by giving the group to each start.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn spawn_target(&self) -> Result<SpawnTarget, GroupError> {
        self.create()?;
        Ok(SpawnTarget::new(self.clone(), (self.inner.table.spawn_target)(self)?))
    }

    /// Moves the calling thread into the group.
    pub(crate) fn enter_thread(&self) -> Result<(), GroupError> {
        self.enter("tasks", thread())
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
        walk(&self.main_dir(), &mut |dir| {
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
        Ok(pids)
    }

    /// Names of the groups right below; none when it does not exist.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn children(&self) -> Result<Vec<String>, GroupError> {
        let dir = self.main_dir();
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(GroupError::of("list", &dir)(error)),
        };
        let groups = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(groups.filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// Says that somebody uses what is below this group, for as long as the answer is kept. `None` when it does not
    /// exist.
    ///
    /// # Errors
    /// When it can't be opened or locked.
    pub fn share(&self) -> Result<Option<Shared>, GroupError> {
        Shared::of(&self.main_dir())
    }

    /// Whether no process is in it or below it. A group that does not exist is empty.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn is_empty(&self) -> Result<bool, GroupError> {
        (self.inner.table.is_empty)(self)
    }

    /// Sends KILL to every process of the group and below. Does not wait for them to be gone: call it again until
    /// [`Cgroup::is_empty`].
    ///
    /// # Errors
    /// When the kernel refuses; a group that is gone is killed.
    pub fn kill(&self) -> Result<(), GroupError> {
        (self.inner.table.kill)(self)
    }

    /// How many processes of the group and below the kernel killed for lack of memory. `None` when the group is gone,
    /// and the count with it; 0 where the node does not count.
    ///
    /// # Errors
    /// When the count can't be read.
    pub fn oom_kills(&self) -> Result<Option<u64>, GroupError> {
        let kills = (self.inner.table.oom_kills)(self)?;
        // Looked at afterwards, so that what went meanwhile does not count as none.
        Ok(self.exists().then_some(kills))
    }

    /// The file whose changes tell that [`Cgroup::oom_kills`] may have risen. `None` where the kernel does not tell,
    /// which is where nobody but us removes a group before its count was read.
    #[must_use]
    pub fn oom_watch(&self) -> Option<OomWatch> {
        (self.inner.table.oom_watch)(self)
    }

    /// The group above; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.path.rsplit_once('/')?;
        (!parent.is_empty()).then(|| Self::new(self.inner.clone(), parent.to_owned()))
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

    /// Removes the group and all below it from every tree. Goes on over errors and answers the first. Right after the
    /// last process has ended the kernel may still say "busy": call it again.
    ///
    /// # Errors
    /// When a group has processes or the kernel refuses; one that is gone is removed.
    pub fn remove(&self) -> Result<(), GroupError> {
        let mut first = Ok(());
        for tree in &self.inner.trees {
            let outcome = walk(&self.below(&tree.dir), &mut |dir| match fs::remove_dir(dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(GroupError::of("remove", dir)(error)),
                _ => Ok(()),
            });
            first = first.and(outcome);
        }
        first
    }

    pub(crate) fn inner(&self) -> &MountedTrees {
        &self.inner
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

    pub(crate) fn main_dir(&self) -> PathBuf {
        self.below(&self.inner.main_tree().dir)
    }

    fn below(&self, tree: &std::path::Path) -> PathBuf {
        tree.join(self.path.trim_start_matches('/'))
    }
}
