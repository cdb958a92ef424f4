//! One control group.

use std::fs;
use std::io::ErrorKind;

use crate::interface_files::InterfaceFiles;
use crate::oom::OomWatch;
use crate::version::{self, VersionTable};
use crate::walk::walk;
use crate::{GroupError, OpenGroup, Shared, TaskLimit};

/// A control group by its path, in all trees of the node. It need not exist.
#[derive(Clone, Debug)]
pub struct Cgroup {
    files: InterfaceFiles,
}

impl Cgroup {
    pub(crate) fn new(files: InterfaceFiles) -> Self {
        Self { files }
    }

    pub(crate) fn files(&self) -> &InterfaceFiles {
        &self.files
    }

    fn version(&self) -> &'static VersionTable {
        version::of(self.files.trees())
    }

    /// Its path below the root: `/kubepods/pod1/abc`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.files.path()
    }

    /// Whether it exists in the tree whose membership counts.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.files.main_dir().is_dir()
    }

    /// Makes the group, with all above it, in every tree, able to hold processes. One that exists is fine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(&self) -> Result<(), GroupError> {
        for tree in &self.files.trees().trees {
            let mut dir = tree.dir.clone();
            for part in self.path().split('/').filter(|part| !part.is_empty()) {
                dir.push(part);
                match fs::create_dir(&dir) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(GroupError::of("make", &dir)(error));
                    }
                    _ => (self.version().prepare)(&dir)?,
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
        self.files.enter("cgroup.procs", pid)
    }

    /// All processes of the group and of those below it; none when it does not exist.
    ///
    /// # Errors
    /// When a list can't be read.
    pub fn pids(&self) -> Result<Vec<u32>, GroupError> {
        self.files.pids()
    }

    /// Names of the groups right below; none when it does not exist.
    ///
    /// # Errors
    /// When they can't be listed.
    pub fn children(&self) -> Result<Vec<String>, GroupError> {
        let dir = self.files.main_dir();
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
        Shared::of(&self.files.main_dir())
    }

    /// Whether no process is in it or below it. A group that does not exist is empty.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn is_empty(&self) -> Result<bool, GroupError> {
        (self.version().is_empty)(&self.files)
    }

    /// Sends KILL to every process of the group and below. Does not wait for them to be gone: call it again until
    /// [`Cgroup::is_empty`].
    ///
    /// # Errors
    /// When the kernel refuses; a group that is gone is killed.
    pub fn kill(&self) -> Result<(), GroupError> {
        (self.version().kill)(&self.files)
    }

    /// How many processes of the group and below the kernel killed for lack of memory. `None` when the group is gone,
    /// and the count with it; 0 where the node does not count.
    ///
    /// # Errors
    /// When the count can't be read.
    pub fn oom_kills(&self) -> Result<Option<u64>, GroupError> {
        let kills = (self.version().oom_kills)(&self.files)?;
        // Looked at afterwards, so that what went meanwhile does not count as none.
        Ok(self.exists().then_some(kills))
    }

    /// The file whose changes tell that [`Cgroup::oom_kills`] may have risen. `None` where the kernel does not tell,
    /// which is where nobody but us removes a group before its count was read.
    #[must_use]
    pub fn oom_watch(&self) -> Option<OomWatch> {
        (self.version().oom_watch)(&self.files)
    }

    /// The group above; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.path().rsplit_once('/')?;
        (!parent.is_empty()).then(|| Self::new(self.files.of(parent.to_owned())))
    }

    /// The same, to be read again and again. Opens nothing yet.
    #[must_use]
    pub fn open(&self) -> OpenGroup {
        OpenGroup::new(self.files.clone())
    }

    /// How many tasks it may have.
    ///
    /// # Errors
    /// When the limit can't be read.
    pub fn task_limit(&self) -> Result<TaskLimit, GroupError> {
        Ok(match self.files.text("pids", "pids.max")?.trim() {
            "" => TaskLimit::Unknown,
            "max" => TaskLimit::None,
            text => text.parse().map_or(TaskLimit::Unknown, TaskLimit::AtMost),
        })
    }

    /// Removes the group and all below it from every tree. Goes on over errors and answers the first. Right after the
    /// last process has ended the kernel may still say "busy": call it again.
    ///
    /// # Errors
    /// When a group has processes or the kernel refuses; one that is gone is removed.
    pub fn remove(&self) -> Result<(), GroupError> {
        let mut first = Ok(());
        for tree in &self.files.trees().trees {
            let outcome = walk(&self.files.below(&tree.dir), &mut |dir| match fs::remove_dir(dir) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(GroupError::of("remove", dir)(error)),
                _ => Ok(()),
            });
            first = first.and(outcome);
        }
        first
    }
}
