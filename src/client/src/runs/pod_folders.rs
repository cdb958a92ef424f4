//! Folders of pods below a folder of runs: opened only where nobody else can have put them there.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags};

use super::folder::is_own;
use super::owner::{self, FoundOwner};
use crate::bounds::LEFTOVERS;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where all folders are; a user may name it by a link.
pub(crate) fn open_base(path: &Path) -> io::Result<File> {
    own(rustix::fs::openat(rustix::fs::CWD, path, FOLDER, Mode::empty())?.into())
}

/// A pod's folder, and no link to one.
pub(crate) fn open_folder(base: impl AsFd, uid: &str) -> io::Result<File> {
    own(rustix::fs::openat(base, uid, FOLDER | OFlags::NOFOLLOW, Mode::empty())?.into())
}

/// What others may write into is not looked at: they would say what is removed.
fn own(folder: File) -> io::Result<File> {
    let is_own = is_own(&folder, FileType::Directory);
    is_own.then_some(folder).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// Whether something has the form of a uid, as each pod's folder has.
pub(crate) fn is_uid(name: &str) -> bool {
    let parts: Vec<usize> = name.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// Whether the folder of a pod of this run is there, or there are too many to tell.
pub(crate) fn is_left(base: &Path, run: &str) -> bool {
    let look = || -> io::Result<bool> {
        let open = open_base(base)?;
        let mut looked_at = 0;
        for entry in Dir::read_from(&open)? {
            let entry = entry?;
            let Some(uid) = entry.file_name().to_str().ok().filter(|name| is_uid(name)) else { continue };
            looked_at += 1;
            let Ok(folder) = open_folder(&open, uid) else { continue };
            let facts = match owner::look(&folder) {
                Ok(FoundOwner::Lives(facts)) => facts,
                Ok(FoundOwner::Gone(facts, _)) => Some(facts),
                Ok(FoundOwner::Silent(_) | FoundOwner::Nobody) | Err(_) => None,
            };
            if looked_at > LEFTOVERS || facts.is_some_and(|facts| facts.run == run) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    look().unwrap_or(false)
}
