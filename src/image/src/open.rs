//! Making the directories, and clearing away what a killed process left in them.

use crate::error::OpenError;
use crate::records;
use crate::store::{Store, remove_all};
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The layer of images that have none: an overlay needs something below.
pub(crate) const EMPTY: &str = "empty";

/// What nobody knows of any more is listed before the first pull can make anything, and removed in the background:
/// a large tree must not hold up the start.
pub(crate) async fn tidy(store: &Arc<Store>) -> Result<(), OpenError> {
    let known: HashSet<String> = store.db.read(records::directories).await?.into_iter().collect();
    let (root, keep) = (store.config.state_root.clone(), store.config.keep_partial);
    let listing = tokio::task::spawn_blocking(move || prepare(&root, &known, keep));
    let leftover = listing.await.map_err(|error| OpenError::Directory {
        path: store.config.state_root.clone(),
        source: io::Error::other(error),
    })??;
    if !leftover.is_empty() {
        tracing::info!(directories = leftover.len(), "clearing away what an earlier run left half made");
        tokio::spawn(remove_all(leftover));
    }
    Ok(())
}

/// Makes the directories; answers with what is in them and nobody knows of. Blocks.
fn prepare(root: &Path, known: &HashSet<String>, keep: Duration) -> Result<Vec<PathBuf>, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Directory { path, source }
    };
    let (ingest, layers) = (root.join("ingest"), root.join("layers"));
    let empty = layers.join(EMPTY).join("diff");
    for dir in [root, &ingest, &layers] {
        // Layers hold set-user-id programs of strangers: nobody but root may reach them.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at(dir))?;
    }
    std::fs::create_dir_all(&empty).map_err(at(&empty))?;

    let mut leftover = Vec::new();
    for entry in std::fs::read_dir(&layers).map_err(at(&layers))? {
        let entry = entry.map_err(at(&layers))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name == EMPTY || known.contains(name)) {
            leftover.push(entry.path());
        }
    }
    for entry in std::fs::read_dir(&ingest).map_err(at(&ingest))? {
        let entry = entry.map_err(at(&ingest))?;
        let partial = entry.path().extension().is_some_and(|extension| extension == "part");
        if !partial || is_old(&entry, keep) {
            leftover.push(entry.path());
        }
    }
    Ok(leftover)
}

fn is_old(entry: &std::fs::DirEntry, keep: Duration) -> bool {
    let modified = entry.metadata().and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > keep))
}
