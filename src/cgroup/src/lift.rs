//! Taking limits off a group: what OCI runtimes are told by -1, which not each of them understands.

use crate::{Cgroup, GroupError, files, version};

/// Which limits of a group are to be none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lift {
    /// Time of processors.
    pub cpu_quota: bool,
    /// Memory.
    pub memory: bool,
    /// Swap; on version 1 memory and swap together.
    pub swap: bool,
}

impl Cgroup {
    /// Takes limits off. What the node can't limit has none.
    ///
    /// # Errors
    /// When the group does not exist or the kernel refuses.
    pub fn lift(&self, lift: Lift) -> Result<(), GroupError> {
        let files = (version::of(self.files().trees()).limits)();
        // On version 1 swap counts memory too, and can't be below it.
        for (lifted, (controller, name, none)) in [lift.swap, lift.memory, lift.cpu_quota].into_iter().zip(files) {
            let file = self.files().file(controller, name).filter(|file| lifted && file.exists());
            file.map_or(Ok(()), |file| files::write(&file, none))?;
        }
        Ok(())
    }

    /// Bytes of memory that the group holds and that the kernel can't take back without ending processes, as far as it
    /// tells. `None` where it refuses a limit below by itself.
    ///
    /// # Errors
    /// When the kernel can't be asked.
    pub fn held_memory(&self) -> Result<Option<u64>, GroupError> {
        (version::of(self.files().trees()).held_memory)(self.files())
    }
}
