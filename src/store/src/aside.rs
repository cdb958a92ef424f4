//! A database that can't be read is set aside, and an empty one takes its place.
//!
//! The other choice, to refuse the start until somebody removes the file, leaves a node that nothing but a person can
//! heal, on account of records that only say what runs on it. What runs is found without them, and ended; then a
//! kubelet brings everything up again. So a start fails only where an empty database would be no better: the disk
//! itself fails or is full or read-only, or the records are those of a newer peapod, which can be had back.
//!
//! The file goes with its journal, without which it is not what it was, under a dated name beside it: nothing is
//! deleted but what was set aside before and is one too many.

use crate::bounds::DATABASES_SET_ASIDE;
use crate::error::OpenError;
use rusqlite::Connection;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What follows a database's name in that of its journal and of the journal's index.
const SIDECARS: [&str; 2] = ["-wal", "-shm"];
/// What stands between a database's name and the date when it was set aside.
const MARK: &str = ".damaged-";

/// What SQLite takes for a database that is yet to be made has no more bytes.
const EMPTY: u64 = 1;

/// A database that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// Where it was; an empty database is there now.
    pub path: PathBuf,
    /// Where it is now. Nobody needs it any more: it can be looked at, and deleted.
    pub kept: PathBuf,
    /// Why it can't be read.
    pub reason: String,
}

/// What was set aside of a database earlier and is still there, the latest last.
///
/// # Errors
/// When its folder can't be listed.
pub fn kept(database: &Path) -> io::Result<Vec<PathBuf>> {
    let Some((folder, prefix)) = name_of(database).map(|(folder, name)| (folder, format!("{name}{MARK}"))) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix))
            && !SIDECARS.iter().any(|sidecar| name.ends_with(sidecar))
        {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// Moves away what stands in a database's place and is none: not a file, or an empty one. SQLite would take the second
/// for a new one, and nobody would hear of the loss. Of a sidecar that is no file SQLite makes a new one.
pub(crate) fn clear_way(path: &Path) -> Result<Option<SetAside>, OpenError> {
    for sidecar in SIDECARS.map(|sidecar| suffixed(path, sidecar)) {
        if let Some(reason) = is_no_file(&sidecar)? {
            let kept = suffixed(&sidecar, &format!("{MARK}{}", now(path)?));
            rename(&sidecar, &kept)?;
            tracing::error!(path = %sidecar.display(), kept = %kept.display(), reason, "this is no journal: it is set aside");
        }
    }
    match is_no_file(path)? {
        Some(reason) => set_aside(path, reason).map(Some),
        None if fs::metadata(path).is_ok_and(|file| file.len() <= EMPTY) => {
            set_aside(path, "it is empty".to_owned()).map(Some)
        }
        None => Ok(None),
    }
}

/// Moves a database with its sidecars to a name with today's date.
pub(crate) fn set_aside(path: &Path, reason: String) -> Result<SetAside, OpenError> {
    let kept = suffixed(path, &format!("{MARK}{}", now(path)?));
    // The journal first: alone with a new database it would be taken for that one's.
    for sidecar in SIDECARS {
        match fs::rename(suffixed(path, sidecar), suffixed(&kept, sidecar)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path)(error)),
            _ => {}
        }
    }
    rename(path, &kept)?;
    tracing::error!(
        path = %path.display(), kept = %kept.display(), reason,
        "a database can't be read: it is set aside, and the node begins with an empty one"
    );
    drop_oldest(path);
    Ok(SetAside { path: path.to_owned(), kept, reason })
}

/// What can't be removed costs room and nothing else.
fn drop_oldest(path: &Path) {
    let kept = kept(path).unwrap_or_default();
    let surplus = kept.len().saturating_sub(DATABASES_SET_ASIDE);
    for old in kept.into_iter().take(surplus) {
        for path in SIDECARS.map(|sidecar| suffixed(&old, sidecar)).into_iter().chain([old]) {
            // Of folders only those go that have nothing in them: what somebody put there is not ours to remove.
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
}

/// Why this is no file, also behind a link; none if it is one, or nothing.
fn is_no_file(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(None),
        // A database may be kept elsewhere.
        Ok(found) if found.is_symlink() => match fs::metadata(path) {
            Ok(target) if target.is_file() => Ok(None),
            Ok(_) => Ok(Some("it is a link to what is no file".to_owned())),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                    Ok(Some(format!("it is a link that leads nowhere: {error}")))
                }
                _ => Err(failed(path)(error)),
            },
        },
        Ok(_) => Ok(Some("it is no file".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path)(error)),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to).map_err(failed(from))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Aside { path: path.to_owned(), source }
}

/// The date and time of day to the millisecond, UTC. SQLite knows the calendar.
fn now(path: &Path) -> Result<String, OpenError> {
    let ask = || Connection::open_in_memory()?.query_row("SELECT strftime('%Y%m%dT%H%M%fZ')", [], |row| row.get(0));
    ask().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

fn name_of(database: &Path) -> Option<(&Path, &str)> {
    Some((database.parent()?, database.file_name()?.to_str()?))
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
