//! Folders that go for good.

use std::io;
use std::path::PathBuf;

use crate::error::Error;

/// Removes a folder with all in it, off the asynchronous threads. Already gone is success.
pub(crate) async fn remove(dir: PathBuf) -> Result<(), Error> {
    let step = format!("remove {}", dir.display());
    let outcome = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    })
    .await;
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Error::failed(step, &error)),
        Err(error) => Err(Error::failed(step, &error)),
    }
}
