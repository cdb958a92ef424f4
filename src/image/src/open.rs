//! Making the directories, and clearing away what a killed process left in them.

use crate::bounds::LEFTOVER_LOOK;
use crate::error::OpenError;
use crate::layers_dir::LayersDir;
use crate::model::Rootfs;
use crate::records;
use crate::records::unverified;
use crate::store::Store;
use crate::unpack::is_opaque;
use peapod_sys::mountinfo::Mounts;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Records of which each has a line in the log.
const SAID: usize = 32;

/// The layer of images that have none: an overlay needs something below.
pub(crate) const EMPTY: &str = "empty";
/// Another one beside it, for what is laid over an image's only layer.
const BELOW: &str = "below";

/// Deletes rows that make no sense.
pub(crate) async fn delete_nonsense(store: &Arc<Store>) -> Result<(), OpenError> {
    let deleted = store.records.write(records::nonsense::delete).await?;
    for row in deleted.iter().take(SAID) {
        let records::nonsense::Deleted { table, key, reason } = row;
        tracing::error!(
            table,
            key,
            reason,
            "a record of image.db makes no sense and is deleted: its image can be pulled again"
        );
    }
    if deleted.len() > SAID {
        tracing::error!(more = deleted.len() - SAID, "further records of image.db make no sense and are deleted");
    }
    Ok(())
}

/// What nobody knows of any more is listed before the first pull can make anything, and put into the trash: a large
/// tree must not hold up the start.
pub(crate) async fn tidy(store: &Arc<Store>) -> Result<(), OpenError> {
    let boot_id = store.config.boot_id.clone();
    let (known, retired) =
        store.records.write(move |tx| Ok((records::directories(tx)?, unverified::retired(tx, &boot_id)?))).await?;
    let known: HashSet<String> = known.into_iter().collect();
    let root = store.config.state_root.clone();
    let listing = tokio::task::spawn_blocking(move || prepare(&root, &known, &retired.into_iter().collect()));
    let FoundOnDisk { leftover, gone } = listing.await.map_err(|error| OpenError::Directory {
        path: store.config.state_root.clone(),
        source: io::Error::other(error),
    })??;
    if !gone.is_empty() {
        store.verifier.lose(gone).await?;
    }
    if !leftover.is_empty() {
        tracing::info!(directories = leftover.len(), "clearing away what an earlier run left half made");
        tokio::spawn(clear_away(Arc::clone(&store.dir), leftover));
    }
    Ok(())
}

/// The directories of layers with which a container is made, top layer first; or those that are not there any more.
/// Blocks for one look at each.
pub(crate) fn rootfs(layers: &Path, shorts: Vec<String>) -> Result<Rootfs, Vec<String>> {
    if shorts.is_empty() {
        let empty = layers.join(EMPTY).join("diff");
        // If it can't be made, the mount says so.
        let _ = std::fs::create_dir_all(&empty);
        return Ok(Rootfs { lower_dirs: vec![empty] });
    }
    let gone: Vec<String> = shorts.iter().filter(|short| !is_there(layers, short)).cloned().collect();
    if !gone.is_empty() {
        return Err(gone);
    }
    let mut lower_dirs = Vec::with_capacity(shorts.len());
    for short in shorts {
        let diff = layers.join(short).join("diff");
        let is_last = shows_nothing_below(&diff);
        lower_dirs.push(diff);
        if is_last {
            break;
        }
    }
    Ok(Rootfs { lower_dirs })
}

/// The same for an overlay that has nothing but these: with less than two there is none.
pub(crate) fn read_only(layers: &Path, shorts: Vec<String>) -> Result<Rootfs, Vec<String>> {
    let mut rootfs = rootfs(layers, shorts)?;
    if rootfs.lower_dirs.len() == 1 {
        let below = layers.join(EMPTY).join(BELOW);
        // If it can't be made, the mount says so.
        let _ = std::fs::create_dir_all(&below);
        rootfs.lower_dirs.push(below);
    }
    Ok(rootfs)
}

/// Whether a `.wh..wh..opq` stood at the layer's root. The kernel's overlay does not look there: what is below is left
/// out. (With containerd's overlay it shines through; its native snapshots, and Docker, hide it as the specification
/// says.)
fn shows_nothing_below(diff: &Path) -> bool {
    // What can't be asked, the mount can't use either, and says so.
    std::fs::File::open(diff).is_ok_and(|root| is_opaque(root).unwrap_or(false))
}

/// False only where it certainly is not: a disk that fails now may answer later.
fn is_there(layers: &Path, short: &str) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    let dir = layers.join(short);
    // A link is none: it leads to what is not ours to mount, or to remove.
    let is_dir = |path: &Path| match std::fs::symlink_metadata(path) {
        Ok(found) => found.is_dir(),
        Err(error) => !matches!(error.kind(), NotFound | NotADirectory),
    };
    is_dir(&dir) && is_dir(&dir.join("diff"))
}

/// Moves those directories to the end that containers run on, and answers how many others there are. Blocks.
fn unused(directories: &mut [PathBuf]) -> usize {
    if directories.is_empty() {
        return 0;
    }
    // What can't be told counts as used: it is looked at again.
    let Ok(used) = used(directories) else { return 0 };
    directories.sort_by_key(|path| used.contains(path));
    directories.partition_point(|path| !used.contains(path))
}

/// Those of the directories that an overlay names. Names are random: where one stands, it is meant. Blocks.
fn used(directories: &[PathBuf]) -> io::Result<HashSet<PathBuf>> {
    let name = |path: &PathBuf| Some((path.clone(), format!("/{}/diff", path.file_name()?.to_str()?)));
    let names: Vec<_> = directories.iter().filter_map(name).collect();
    let mut used = HashSet::new();
    let mut mounts = Mounts::open()?;
    while let Some(mount) = mounts.next_mount()? {
        let options = mount.file_system_options();
        let options = options.to_string_lossy();
        used.extend(names.iter().filter(|(_, name)| options.contains(name)).map(|(path, _)| path.clone()));
    }
    Ok(used)
}

/// Puts directories into the trash of which nobody knows any more, each once no container runs on it: records may be
/// lost of what is in use.
async fn clear_away(dir: Arc<LayersDir>, mut leftover: Vec<PathBuf>) {
    while !leftover.is_empty() {
        let looked = tokio::task::spawn_blocking(move || {
            let count = unused(&mut leftover);
            let used = leftover.split_off(count);
            (leftover, used)
        });
        // An error means that the daemon ends.
        let Ok((unused, used)) = looked.await else { return };
        dir.remove(unused).await;
        if !used.is_empty() {
            tracing::debug!(directories = used.len(), "layers without a record stay while containers run on them");
            tokio::time::sleep(LEFTOVER_LOOK).await;
        }
        leftover = used;
    }
}

/// What is on disk, against what is known.
struct FoundOnDisk {
    /// Nobody knows of it.
    leftover: Vec<PathBuf>,
    /// Layers that are known and not there.
    gone: Vec<String>,
}

/// Makes the directories, and looks into them. Blocks.
fn prepare(root: &Path, known: &HashSet<String>, retired: &HashSet<String>) -> Result<FoundOnDisk, OpenError> {
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
    if !is_there(&layers, EMPTY) {
        peapod_sys::remove_tree(&layers.join(EMPTY)).map_err(|error| at(&empty)(error.into()))?;
        std::fs::create_dir_all(&empty).map_err(at(&empty))?;
    }

    let mut leftover = Vec::new();
    for entry in std::fs::read_dir(&layers).map_err(at(&layers))? {
        let entry = entry.map_err(at(&layers))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name == EMPTY || known.contains(name) || retired.contains(name)) {
            leftover.push(entry.path());
        }
    }
    for entry in std::fs::read_dir(&ingest).map_err(at(&ingest))? {
        let entry = entry.map_err(at(&ingest))?;
        // Partial blobs are `fetch`'s to keep or drop.
        if entry.path().extension().is_none_or(|extension| extension != "part") {
            leftover.push(entry.path());
        }
    }
    let gone: Vec<String> = known.iter().filter(|short| !is_there(&layers, short)).cloned().collect();
    let in_their_places = gone.iter().map(|short| layers.join(short));
    leftover.extend(in_their_places.filter(|path| std::fs::symlink_metadata(path).is_ok()));
    Ok(FoundOnDisk { leftover, gone })
}
