//! The directory of unpacked layers.

use peapod_sys::Trash;
use std::path::{Path, PathBuf};

/// `layers` in the state root: one directory for each layer, under its short name.
pub(crate) struct LayersDir {
    path: PathBuf,
    trash: Trash,
}

impl LayersDir {
    pub(crate) fn new(path: PathBuf, trash: Trash) -> Self {
        Self { path, trash }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the layer of that short name is, with its tree in `diff`.
    pub(crate) fn of(&self, short: &str) -> PathBuf {
        self.path.join(short)
    }

    /// Puts directories into the trash, off the asynchronous threads. What can't be moved goes at the next start.
    pub(crate) async fn remove(&self, dirs: Vec<PathBuf>) {
        if dirs.is_empty() {
            return;
        }
        let trash = self.trash.clone();
        let work = tokio::task::spawn_blocking(move || {
            for path in dirs {
                if let Err(error) = trash.put(&path) {
                    tracing::warn!(path = %path.display(), %error, "an unused layer can't be removed now");
                }
            }
        });
        if work.await.is_err() {
            tracing::warn!("unused layers are left for the next start");
        }
    }
}
