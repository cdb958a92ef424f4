//! The door of this crate.

use crate::config::Config;
use crate::error::{LeaseError, OpenError, PullError, RemoveError};
use crate::model::{FsInfo, Image, ImageId, PullRequest, Rootfs};
use peapod_store::{Database, Migration, StoreError};
use std::io;
use std::sync::Arc;

/// The tables of this crate, for [`Database::open`].
pub const MIGRATIONS: &[Migration] = &[];

/// All images of this node; clones share them.
#[derive(Clone)]
pub struct Images {
    config: Arc<Config>,
}

impl Images {
    /// Opens the store and drops what a killed process left half made.
    ///
    /// # Errors
    /// [`OpenError`]: a directory or the records can't be used.
    pub async fn open(config: Config, _db: Database) -> Result<Self, OpenError> {
        Ok(Self { config: Arc::new(config) })
    }

    /// All images; a snapshot, no waiting.
    #[must_use]
    pub fn list(&self) -> Arc<Vec<Arc<Image>>> {
        Arc::default()
    }

    /// The image that `reference` means.
    #[must_use]
    pub fn resolve(&self, _reference: &str) -> Option<Arc<Image>> {
        None
    }

    /// Pulls an image.
    ///
    /// # Errors
    /// [`PullError`].
    pub async fn pull(&self, request: PullRequest) -> Result<Arc<Image>, PullError> {
        Err(PullError::Cancelled { reference: request.reference })
    }

    /// Removes the image that `reference` means, with all its tags.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(&self, _reference: &str) -> Result<(), RemoveError> {
        Ok(())
    }

    /// Keeps the image's layers for `holder`.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub async fn lease(&self, image: &ImageId, _holder: &str) -> Result<Rootfs, LeaseError> {
        Err(LeaseError::NotFound { image: image.to_string() })
    }

    /// Gives `holder`'s lease back; idempotent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(&self, _holder: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// Every holder of a lease with its image, so that leases of forgotten containers can be given back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leases(&self) -> Result<Vec<(String, ImageId)>, StoreError> {
        Ok(Vec::new())
    }

    /// What the store takes on disk, from counters.
    ///
    /// # Errors
    /// None today; the records may be asked one day.
    pub async fn fs_info(&self) -> Result<FsInfo, io::Error> {
        Ok(FsInfo { mountpoint: self.config.state_root.clone(), used_bytes: 0, inodes_used: 0 })
    }
}
