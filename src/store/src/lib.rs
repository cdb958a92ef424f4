//! Where peapod keeps its records: SQLite, opened with a known schema, written by one thread.
//!
//! Each database has two threads of its own, one that writes and one that reads, because SQL blocks and no SQL may
//! run on an asynchronous thread. Work reaches them through bounded queues: a caller waits when a queue is full.
//! A write is one transaction. It happens even if the future that asked for it is dropped, so a caller that is
//! cancelled never leaves a half-done record. Dropping the last handle ends both threads once their queues are empty.
//!
//! This crate knows no tables but its own `schema_versions`; each room brings its [`Migration`]s.

mod aside;
mod bounds;
mod error;
mod measures;
mod open;
mod reserve;
mod worker;

pub use aside::{SetAside, kept};
pub use error::{OpenError, StoreError};
pub use measures::DatabaseMeasures;
pub use open::{Durability, Migration};
/// The SQLite binding, so that crates use the same version as the store.
pub use rusqlite;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use worker::Worker;

/// A handle to one database; clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Workers>,
}

#[derive(Debug)]
struct Workers {
    writer: Worker,
    reader: Worker,
    durability: Durability,
    measures: DatabaseMeasures,
}

impl Database {
    /// Opens the database at `path` as [`Database::open`] does. What stands there and can't be read is set aside, and
    /// an empty one begins.
    ///
    /// `id`: tells this database from others, as SQLite's `application_id`.
    ///
    /// Blocks; call it at start or from a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`]: where an empty database would be no better, see [`OpenError::is_damage`].
    pub fn open_or_begin(
        path: &Path,
        id: i32,
        durability: Durability,
        migrations: &[Migration],
    ) -> Result<(Self, Option<SetAside>), OpenError> {
        let in_the_way = aside::clear_way(path)?;
        match Self::open_whole(path, id, durability, migrations) {
            Ok(database) => Ok((database, in_the_way)),
            Err(error) if error.is_damage() => {
                let aside = aside::set_aside(path, error.to_string())?;
                Ok((Self::open_whole(path, id, durability, migrations)?, Some(aside)))
            }
            Err(error) => Err(error),
        }
    }

    fn open_whole(path: &Path, id: i32, durability: Durability, migrations: &[Migration]) -> Result<Self, OpenError> {
        let connection = open::read_write(path, durability)?;
        open::identify(&connection, path, id)?;
        open::check(&connection, path)?;
        Self::on(connection, path, durability, migrations)
    }

    /// Opens the database at `path` (made with mode 0600 if it is not there; its directory must exist) and brings
    /// each crate's schema up to date in one transaction.
    ///
    /// Blocks; call it at start or from a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`]: the file can't be opened or is no database, a migration fails, or a crate's schema is newer than
    /// this program knows.
    pub fn open(path: &Path, durability: Durability, migrations: &[Migration]) -> Result<Self, OpenError> {
        Self::on(open::read_write(path, durability)?, path, durability, migrations)
    }

    fn on(
        mut connection: Connection,
        path: &Path,
        durability: Durability,
        migrations: &[Migration],
    ) -> Result<Self, OpenError> {
        open::migrate(&mut connection, path, migrations)?;
        reserve::keep(&connection, path);
        let reading = open::read_only(path)?;
        let writer = Worker::start("store-write", path, connection)?;
        let reader = Worker::start("store-read", path, reading)?;
        let measures = DatabaseMeasures::default();
        Ok(Self { inner: Arc::new(Workers { writer, reader, durability, measures }) })
    }

    /// What it counts of its own work.
    #[must_use]
    pub fn measures(&self) -> &DatabaseMeasures {
        &self.inner.measures
    }

    /// Runs `work` in a transaction of its own, which is committed if `work` returns `Ok` and rolled back otherwise.
    ///
    /// The result comes after the commit. Dropping the future does not take the write back.
    ///
    /// # Errors
    /// What `work` or the commit answered, with the database's path.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.commit(self.inner.durability, work).await
    }

    /// The same for what is worthless after a power cut: the commit survives the end of the process, and does not wait
    /// for the disk.
    ///
    /// # Errors
    /// What `work` or the commit answered, with the database's path.
    pub async fn write_lightly<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.commit(Durability::Normal, work).await
    }

    async fn commit<T, F>(&self, durability: Durability, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (path, usual) = (self.inner.writer.path.clone(), self.inner.durability);
        let transact = move |connection: &mut Connection| {
            reserve::before_write(connection, &path);
            // Each time, as the one before may have been the other kind, and may have ended in a panic.
            if usual == Durability::Full {
                open::make_durable(connection, durability)?;
            }
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let measures = self.inner.measures.clone();
        let waiting = measures.waiting.hold();
        self.inner
            .writer
            .run(move |connection: &mut Connection| {
                let (_waiting, began) = (waiting, Instant::now());
                let outcome = transact(connection);
                match &outcome {
                    Ok(_) => measures.commits.observe_since(began),
                    Err(_) => measures.failures.increment(),
                }
                outcome
            })
            .await
    }

    /// Runs `work` on the reading connection, which sees everything committed so far and can change nothing.
    ///
    /// # Errors
    /// What `work` answered, with the database's path.
    pub async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner.reader.run(move |connection: &mut Connection| work(connection)).await
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod tests;
