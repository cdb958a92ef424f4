//! Folders that go for good.

use std::path::PathBuf;

use crate::error::Error;

/// Removes a folder with all in it, off the asynchronous threads. Already gone is success.
pub(crate) async fn remove(dir: PathBuf) -> Result<(), Error> {
    let step = format!("remove {}", dir.display());
    match tokio::task::spawn_blocking(move || peapod_sys::remove_tree(&dir)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(step, &error)),
        Err(error) => Err(Error::failed(step, &error)),
    }
}
