//! Opening a file as a database of ours: mode, journal, durability, schema versions.

use crate::error::OpenError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process, at any instant. A power cut may lose the last commits, never the file's integrity.
    Normal,
    /// A power cut too: each commit waits for the disk.
    Full,
}

/// One step of a crate's schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The crate whose tables these are. (On disk its name stands in a column `room`.)
    pub owner: &'static str,
    /// The version reached by this step: 1, 2, 3 and so on within a crate.
    pub version: u32,
    /// The statements that make the step.
    pub sql: &'static str,
}

/// How long to wait for another process that holds the file, such as somebody's `sqlite3`.
const BUSY: Duration = Duration::from_secs(5);

/// The journal shrinks back to this after a checkpoint.
const JOURNAL_LIMIT: i64 = 8 << 20;

pub(crate) fn read_write(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    create(path).map_err(|source| OpenError::Create { path: path.to_owned(), source })?;
    let open = || -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        make_durable(&connection, durability)?;
        connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL_LIMIT, |_| Ok(()))?;
        connection.pragma_update(None, "foreign_keys", true)?;
        keep_journal(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// What commits survive from now on.
pub(crate) fn make_durable(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let word = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", word)
}

pub(crate) fn read_only(path: &Path) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        // Not opened as a read-only file: the journal's index must be writable. This refuses changes all the same.
        connection.pragma_update(None, "query_only", true)?;
        keep_journal(&connection)?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// The journal's file outlives the program: on a full disk the next one could not make it.
fn keep_journal(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(drop)
}

/// SQLite would make the file with the process's umask; its journal takes the mode of this file.
fn create(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Whether the file is in order, all of it: damage that a record comes to light with months later would then be that
/// moment's trouble. Reads the whole file, a few milliseconds for ten thousand records.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let first = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    match first {
        Ok(word) if word == "ok" => Ok(()),
        Ok(what) => Err(OpenError::Damaged { path: path.to_owned(), what: what.replace('\n', "; ") }),
        Err(source) => Err(OpenError::Sqlite { path: path.to_owned(), source }),
    }
}

/// Whether it is this database, and not another with its name or with its journal: SQLite takes any journal that is
/// whole for the file's own. One without an id gets it.
pub(crate) fn identify(connection: &Connection, path: &Path, id: i32) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    match connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(sqlite)? {
        found if found == id => Ok(()),
        0 => connection.pragma_update(None, "application_id", id).map_err(sqlite),
        found => Err(OpenError::Foreign { path: path.to_owned(), found, known: id }),
    }
}

/// Brings every crate to its newest version, or changes nothing at all.
pub(crate) fn migrate(connection: &mut Connection, path: &Path, migrations: &[Migration]) -> Result<(), OpenError> {
    let mut owners: BTreeMap<&'static str, Vec<&Migration>> = BTreeMap::new();
    for migration in migrations {
        let steps = owners.entry(migration.owner).or_default();
        let expected = steps.last().map_or(1, |last| last.version + 1);
        if migration.version != expected {
            return Err(OpenError::Numbering { owner: migration.owner, version: migration.version, expected });
        }
        steps.push(migration);
    }

    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    transaction
        .execute_batch("CREATE TABLE IF NOT EXISTS schema_versions (room TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        .map_err(sqlite)?;
    for (owner, steps) in owners {
        let found: u32 = transaction
            .query_row("SELECT version FROM schema_versions WHERE room = ?1", [owner], |row| row.get(0))
            .optional()
            .map_err(sqlite)?
            .unwrap_or(0);
        let known = steps.last().map_or(0, |step| step.version);
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), owner: owner.to_owned(), found, known });
        }
        for step in steps.iter().filter(|step| step.version > found) {
            transaction.execute_batch(step.sql).map_err(|source| OpenError::Migration {
                path: path.to_owned(),
                owner: owner.to_owned(),
                version: step.version,
                source,
            })?;
        }
        transaction
            .execute(
                "INSERT INTO schema_versions (room, version) VALUES (?1, ?2) \
                 ON CONFLICT (room) DO UPDATE SET version = excluded.version",
                (owner, known),
            )
            .map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}
