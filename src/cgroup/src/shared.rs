//! Who else uses a group as a parent, by locks on its directory: they end with their holders, and leave nothing behind.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::GroupError;

/// This process's part in a parent of groups.
#[derive(Debug)]
pub struct Shared {
    dir: PathBuf,
    file: File,
}

impl Shared {
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, GroupError> {
        let file = match File::open(dir) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(GroupError::of("open", dir)(error)),
        };
        // Nobody keeps it locked for longer than it takes to ask whether he is alone.
        flock(&file, FlockOperation::LockShared).map_err(|error| GroupError::of("lock", dir)(error.into()))?;
        Ok(Some(Self { dir: dir.to_path_buf(), file }))
    }

    /// Whether the group is still the one that was there then.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let inode = |metadata: std::io::Result<std::fs::Metadata>| metadata.ok().map(|data| (data.dev(), data.ino()));
        inode(self.file.metadata()).is_some_and(|held| inode(std::fs::metadata(&self.dir)) == Some(held))
    }

    /// Whether nobody else shares it now.
    ///
    /// # Errors
    /// When the kernel refuses to lock it.
    pub fn is_alone(&self) -> Result<bool, GroupError> {
        let failed = |error: rustix::io::Errno| GroupError::of("lock", &self.dir)(error.into());
        let alone = match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(rustix::io::Errno::WOULDBLOCK) => false,
            Err(error) => return Err(failed(error)),
        };
        // Whoever came meanwhile does the same.
        flock(&self.file, FlockOperation::LockShared).map_err(failed)?;
        Ok(alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_are_not_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("parent");
        assert!(Shared::of(&path).unwrap().is_none());
        std::fs::create_dir(&path).unwrap();
        let one = Shared::of(&path).unwrap().unwrap();
        assert!(one.is_alone().unwrap() && one.is_current());
        let other = Shared::of(&path).unwrap().unwrap();
        assert!(!one.is_alone().unwrap() && !other.is_alone().unwrap());
        drop(one);
        assert!(other.is_alone().unwrap());
        std::fs::remove_dir(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(!other.is_current());
    }
}
