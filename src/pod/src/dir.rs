//! Folders that go for good.

use std::path::{Path, PathBuf};

use peapod_sys::Trash;

use crate::error::Error;

/// Removes a folder with all in it, off the asynchronous threads; what takes longer than a moment goes in the
/// background. Already gone is success.
pub(crate) async fn remove(trash: &Trash, dir: PathBuf) -> Result<(), Error> {
    let (trash, step) = (trash.clone(), step(&dir));
    let removed = tokio::task::spawn_blocking(move || remove_now(&trash, &dir)).await;
    removed.map_err(|panic| Error::failed(step, &panic))?
}

/// Removes it on the calling thread, which may have to wait for a disk.
pub(crate) fn remove_now(trash: &Trash, dir: &Path) -> Result<(), Error> {
    trash.remove(dir).map_err(|error| Error::failed(step(dir), &error))
}

fn step(dir: &Path) -> String {
    format!("remove {}", dir.display())
}
