//! What can go wrong, as facts: which file, which crate, what SQLite said.

use std::path::PathBuf;

/// A database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be made or its mode not set.
    #[error("database {}: cannot be created: {source}", path.display())]
    Create {
        /// The database file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// SQLite refused the file.
    #[error("database {}: cannot be opened: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// SQLite reads the file, and finds that it is not in order.
    #[error("database {}: damaged: {what}", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// The first thing that is not in order.
        what: String,
    },
    /// It is somebody else's database, or has somebody else's journal.
    #[error("database {}: it is another program's (application id {found:#x}, not {known:#x})", path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
        /// The application id in the file.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// What stands in the database's place could not be looked at, or moved away.
    #[error("database {}: cannot be set aside: {source}", path.display())]
    Aside {
        /// What was to be moved.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A newer peapod wrote this database.
    #[error(
        "database {}: the records of '{owner}' have schema {found}, this peapod knows up to {known}; \
         start the newer peapod again, or move the file away to begin with empty records",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Whose schema it is.
        owner: String,
        /// The version in the file.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A migration failed; nothing was changed.
    #[error("database {}: migration {version} of '{owner}' failed: {source}", path.display())]
    Migration {
        /// The database file.
        path: PathBuf,
        /// Whose schema it is.
        owner: String,
        /// The version that could not be reached.
        version: u32,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A crate's migrations are not numbered 1, 2, 3 and so on: a mistake in the program.
    #[error("migrations of '{owner}' are not numbered from 1 without a gap: {version} stands where {expected} should")]
    Numbering {
        /// Whose schema it is.
        owner: &'static str,
        /// The version found.
        version: u32,
        /// The version that should have been there.
        expected: u32,
    },
    /// The thread could not be started.
    #[error("database {}: its thread cannot be started: {source}", path.display())]
    Thread {
        /// The database file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl OpenError {
    /// Whether the file is at fault, and will be the next time too. Not so if the disk fails, is full or can't be
    /// written to: then the file may be whole.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged { .. } | Self::Foreign { .. } => true,
            Self::Sqlite { source, .. } | Self::Migration { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            Self::Create { .. }
            | Self::Aside { .. }
            | Self::Newer { .. }
            | Self::Numbering { .. }
            | Self::Thread { .. } => false,
        }
    }
}

/// A read or a write failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite failed; a write was rolled back.
    #[error("database {}: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database's thread is gone.
    #[error("database {}: its thread has ended", path.display())]
    Closed {
        /// The database file.
        path: PathBuf,
    },
    /// The closure panicked; a write was rolled back and the thread goes on.
    #[error("database {}: the work given to it panicked; this is a defect of peapod", path.display())]
    Panicked {
        /// The database file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether the disk was full: nothing was written, and trying again after space was freed can work.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}
