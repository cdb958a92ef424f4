//! Folders that go for good.

use std::path::PathBuf;

use peapod_sys::Trash;

use crate::error::Error;

/// Removes a folder with all in it, off the asynchronous threads; what takes longer than a moment goes in the
/// background. Already gone is success.
pub(crate) async fn remove(trash: &Trash, dir: PathBuf) -> Result<(), Error> {
    let (trash, step) = (trash.clone(), format!("remove {}", dir.display()));
    match tokio::task::spawn_blocking(move || trash.remove(&dir)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(step, &error)),
        Err(error) => Err(Error::failed(step, &error)),
    }
}
