//! What takes room in the store, and who needs it: for people who wonder.

use crate::bounds::USAGE_FILES;
use crate::digest::Digest;
use crate::records::{self, LayerUse};
use crate::store::Store;
use peapod_store::StoreError;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreUsage {
    /// Its folder.
    pub root: PathBuf,
    /// Of the folder's file system.
    pub free_bytes: u64,
    /// Of the same; 0 where it has no number of them.
    pub free_inodes: u64,
    /// All images, oldest first.
    pub images: Vec<ImageUse>,
    /// All layers, the largest first.
    pub layers: Vec<LayerUse>,
    /// Blobs whose transfer was broken off, and that a pull may resume: the first of them, with their bytes.
    pub partials: Vec<(String, u64)>,
    /// What goes in the background: the first of them.
    pub trash: Vec<String>,
}

/// An image, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// Its id.
    pub id: String,
    /// Its tags, or if it has none its digests.
    pub names: Vec<String>,
    /// Bytes on disk, layers that it shares included.
    pub size: u64,
    /// A name holds it against garbage collection.
    pub pinned: bool,
    /// Directories of its layers, lowest first.
    pub layers: Vec<String>,
    /// Who has a lease on it.
    pub holders: Vec<String>,
}

/// Reads the records and lists the folders.
pub(crate) async fn usage(store: &Arc<Store>) -> Result<StoreUsage, StoreError> {
    let (leases, layers, chains) = store
        .records
        .read(|connection| {
            Ok((records::leases(connection)?, records::layer_uses(connection)?, records::image_layers(connection)?))
        })
        .await?;
    let mut holders: HashMap<String, Vec<String>> = HashMap::new();
    for (holder, image) in leases {
        holders.entry(image.to_string()).or_default().push(holder);
    }
    let mut chains: HashMap<String, Vec<String>> = chains.into_iter().collect();
    let catalog = store.records.catalog();
    let images = catalog.images.iter().map(|image| ImageUse {
        id: image.id.to_string(),
        names: if image.repo_tags.is_empty() { image.repo_digests.clone() } else { image.repo_tags.clone() },
        size: image.size,
        pinned: image.pinned,
        layers: chains.remove(image.id.as_str()).unwrap_or_default(),
        holders: holders.remove(image.id.as_str()).unwrap_or_default(),
    });
    let images: Vec<ImageUse> = images.collect();
    let root = store.config.state_root.clone();
    let own = root.clone();
    let looked = tokio::task::spawn_blocking(move || (free(&own), partials(&own), names(&own.join("trash")))).await;
    // An error means that the daemon ends.
    let ((free_bytes, free_inodes), partials, trash) = looked.unwrap_or_default();
    Ok(StoreUsage { root, free_bytes, free_inodes, images, layers, partials, trash })
}

fn free(root: &Path) -> (u64, u64) {
    rustix::fs::statvfs(root).map_or((0, 0), |disk| (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_ffree))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.take(USAGE_FILES).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn partials(root: &Path) -> Vec<(String, u64)> {
    use std::os::unix::fs::MetadataExt;
    let folder = root.join("ingest");
    let partial = |name: String| {
        Digest::from_hex(name.strip_suffix(".part")?)?;
        let bytes = folder.join(&name).symlink_metadata().map_or(0, |file| file.blocks() * 512);
        Some((name, bytes))
    };
    names(&folder).into_iter().filter_map(partial).collect()
}
