//! The records, and the catalog that is published after each change of them.

use super::load;
use crate::catalog::{Catalog, CatalogCell};
use peapod_store::rusqlite::{self, Connection, Transaction};
use peapod_store::{Database, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

/// `image.db` and what lists show of it.
pub(crate) struct ImageRecords {
    db: Database,
    catalog: Arc<CatalogCell>,
    /// For errors.
    state_root: PathBuf,
}

impl ImageRecords {
    /// Publishes an empty catalog; see [`ImageRecords::load`].
    pub(crate) fn new(db: Database, state_root: PathBuf) -> Arc<Self> {
        Arc::new(Self { db, catalog: Arc::default(), state_root })
    }

    /// Publishes what the records say, at start.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        self.change(|_| Ok(())).await.map(drop)
    }

    /// What was published last.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog.get()
    }

    /// Makes a change and publishes it; answers with the catalog right after it. The work goes on when the caller does
    /// not wait for it: what is committed is published.
    pub(crate) async fn change<T, F>(&self, change: F) -> Result<(T, Arc<Catalog>), StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (db, cell, path) = (self.db.clone(), Arc::clone(&self.catalog), self.state_root.clone());
        let work = tokio::spawn(async move {
            let own = Arc::clone(&cell);
            let (value, number, catalog) = db
                .write(move |tx| {
                    let value = change(tx)?;
                    Ok((value, own.number(), load(tx, &own.get())?))
                })
                .await?;
            let catalog = Arc::new(catalog);
            cell.publish(number, &catalog);
            Ok((value, catalog))
        });
        work.await.unwrap_or(Err(StoreError::Closed { path }))
    }

    /// A change that no list shows.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.db.write(change).await
    }

    /// The same, where a power cut may undo it.
    pub(crate) async fn write_lightly<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        self.db.write_lightly(change).await
    }

    /// Looks something up.
    pub(crate) async fn read<T, F>(&self, look_up: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.db.read(look_up).await
    }
}
