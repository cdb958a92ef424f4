//! Whose a pod's folder is: `owner.json` in it, held by a lock as long as the `peapod run` lives that looks after the
//! pod. A folder gets it before anything else, so that what a killed run has left can be told from what lives.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::bounds::OWNER_BYTES;

/// In the pod's folder.
pub(crate) const OWNER: &str = "owner.json";
/// How often a folder is made whose place others take for one that was left.
const TRIES: usize = 16;

/// What others have to know to tell whether the pod is still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerFacts {
    /// The id of the `peapod run`.
    pub(crate) run: String,
    /// The socket of the runtime that has the pod, or was to have it.
    pub(crate) endpoint: String,
}

/// This process' own folder.
pub(crate) struct FolderOwner {
    /// Locked.
    _lock: File,
}

impl FolderOwner {
    /// Makes a folder, and those above it, for the user alone, as this process' own.
    pub(crate) fn claim(folder: &Path, facts: &OwnerFacts) -> io::Result<Self> {
        let text = serde_json::to_vec(facts)?;
        for _ in 0..TRIES {
            if let Some(mut lock) = lock_in(folder)? {
                lock.write_all(&text)?;
                // Before anything else is there: after a power cut, too, the folder has to tell whose it was.
                lock.sync_data()?;
                return Ok(Self { _lock: lock });
            }
        }
        Err(io::Error::other("somebody removes it again and again"))
    }
}

/// The locked file of a folder that may have to be made; nothing if somebody takes an empty folder for one that was
/// left, and removes it.
fn lock_in(folder: &Path) -> io::Result<Option<File>> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let opened = OpenOptions::new().write(true).create(true).mode(0o600).custom_flags(flags).open(folder.join(OWNER));
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    // Who looks whether somebody lives here holds it for a moment.
    flock(&file, FlockOperation::LockExclusive)?;
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Who a folder belongs to.
pub(crate) enum FoundOwner {
    /// Somebody who lives.
    Lives(Option<OwnerFacts>),
    /// Somebody who does not. As long as the file is open nobody else finds that.
    Gone(OwnerFacts, File),
    /// The file says nothing: its owner died before it put anything else into the folder.
    Silent(File),
    /// Nobody yet, or an older peapod's run.
    Nobody,
}

/// Looks whose an open folder is.
pub(crate) fn look(folder: impl AsFd) -> io::Result<FoundOwner> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, OWNER, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(FoundOwner::Nobody),
        other => File::from(other?),
    };
    let is_locked = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => true,
        other => other.map(|()| false)?,
    };
    let mut text = Vec::new();
    (&file).take(OWNER_BYTES).read_to_end(&mut text)?;
    let facts = serde_json::from_slice(&text).ok();
    Ok(match (is_locked, facts) {
        (true, facts) => FoundOwner::Lives(facts),
        (false, Some(facts)) => FoundOwner::Gone(facts, file),
        (false, None) => FoundOwner::Silent(file),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn facts() -> OwnerFacts {
        OwnerFacts { run: "ab".into(), endpoint: "/run/x.sock".into() }
    }

    #[test]
    fn a_folder_tells_whether_its_owner_lives() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("base/uid");
        let found = || look(File::open(&folder).unwrap()).unwrap();
        let owner = FolderOwner::claim(&folder, &facts()).unwrap();
        assert_eq!(fs::metadata(dir.path().join("base")).unwrap().mode() & 0o777, 0o700);
        assert!(matches!(found(), FoundOwner::Lives(Some(own)) if own == facts()));
        drop(owner);
        assert!(matches!(found(), FoundOwner::Gone(own, _) if own == facts()));
        let looks = found();
        assert!(matches!(found(), FoundOwner::Lives(_)), "somebody sees to it already");
        drop(looks);
        fs::write(folder.join(OWNER), "{").unwrap();
        assert!(matches!(found(), FoundOwner::Silent(_)));
        fs::remove_file(folder.join(OWNER)).unwrap();
        assert!(matches!(found(), FoundOwner::Nobody));
        // Neither is a link of somebody's followed.
        fs::write(dir.path().join("other"), "kept").unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), folder.join(OWNER)).unwrap();
        assert!(look(File::open(&folder).unwrap()).is_err() && FolderOwner::claim(&folder, &facts()).is_err());
        assert_eq!(fs::read_to_string(dir.path().join("other")).unwrap(), "kept");
    }
}
