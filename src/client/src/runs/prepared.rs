//! The folder of a run to be.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::folder::{RUNS, RunFolder};

/// How often a folder is made whose place others remove meanwhile.
const TRIES: usize = 16;

/// The folder of a run to be. As long as this lives nobody takes it for one that was left.
pub(crate) struct PreparedRun {
    pub(crate) folder: PathBuf,
    _kept: OwnedFd,
}

impl PreparedRun {
    /// The folder of a run to be, for the user alone.
    pub(crate) fn make(base: &Path, id: &str) -> io::Result<Self> {
        let folder = base.join(RUNS).join(id);
        for _ in 0..TRIES {
            match DirBuilder::new().recursive(true).mode(0o700).create(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            }
            match RunFolder::open(base, id) {
                Some(found) => {
                    if let Some(kept) = found.keep()? {
                        return Ok(Self { folder, _kept: kept });
                    }
                }
                None if fs::symlink_metadata(&folder).is_ok() => return Err(not_own(base)),
                None => {}
            }
            // The last of other runs has taken the folder of all with it this moment, or somebody this one, for it was
            // empty.
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

fn not_own(base: &Path) -> io::Error {
    let why = "is a link, or another user may write into it: remove it, or name another folder by --dir";
    io::Error::new(io::ErrorKind::PermissionDenied, format!("{} {why}", base.join(RUNS).display()))
}
