//! Room that a database keeps for itself, so that records can still be changed when the disk is full.
//!
//! A record that can't be written must not keep anyone from stopping and removing, which is what makes room again.
//! SQLite writes into a journal that is written over from its beginning after each checkpoint, and takes free pages of
//! the file before it makes the file longer. So both are made long enough once, while there is room, and kept.

use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// What both the journal and the file have to spare. A transaction of ours has some tens of kilobytes.
const RESERVE: u32 = 512 << 10;

/// With less than this on the disk the journal begins anew before each write, so that it needs no more than it has.
const SCARCE: u64 = 8 << 20;

/// Makes journal and file long enough. Nothing fails for want of this: on a full disk it is tried again at the next
/// start.
pub(crate) fn keep(connection: &Connection, path: &Path) {
    if let Err(error) = try_keep(connection, path) {
        tracing::warn!(%error, path = %path.display(), "no room for changes of records on a full disk");
    }
}

fn try_keep(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let free = number("freelist_count")?.saturating_mul(number("page_size")?);
    let journal = std::fs::metadata(journal(path)).map_or(0, |file| file.len());
    // Half used is no reason to write it all again, and a disk that is full already is none to touch what is there.
    if (free >= RESERVE / 2 && journal >= u64::from(RESERVE)) || is_scarce(path) {
        return Ok(());
    }
    connection.execute_batch("CREATE TABLE IF NOT EXISTS reserve (room BLOB NOT NULL)")?;
    connection.execute("INSERT INTO reserve (room) VALUES (zeroblob(?1))", [RESERVE])?;
    connection.execute("DELETE FROM reserve", [])?;
    checkpoint(connection)
}

/// Before a write: frees the journal for it if the disk has little left.
pub(crate) fn before_write(connection: &Connection, path: &Path) {
    if is_scarce(path)
        && let Err(error) = checkpoint(connection)
    {
        // The write itself tells whether that matters.
        tracing::debug!(%error, path = %path.display(), "no checkpoint");
    }
}

fn is_scarce(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < SCARCE)
}

fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn journal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
