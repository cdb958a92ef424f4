//! Checkpoints: a running container written into an archive (`capture`), and containers made of such (`restore`).
//!
//! An archive is a tar as CRI-O and containerd write it, so that tools of the field read it: CRIU's files below
//! `checkpoint`, what the container was (`documents`), and what it had changed of its image. What one says is not
//! believed when a container is made of it: the configuration comes from the request alone.
//!
//! ```text
//! containers/<id>/checkpoint/   what is being written: images, notes, the path of the archive's neighbour
//! containers/<id>/restore/      what a container is to be made of, until it runs
//! ```

mod archive;
mod capture;
mod criu;
mod documents;
mod left;
mod place;
mod pod;
mod restore;
mod work;

pub use capture::CheckpointRequest;
pub(crate) use capture::{ContainerCapture, capture};
pub(crate) use criu::explain;
pub(crate) use left::end_abandoned;
pub(crate) use pod::capture_pod;
pub use pod::{PodCheckpointRequest, archives};
pub(crate) use restore::{ContainerBase, RESTORE, find, images, lay_out, take};

use std::path::{Path, PathBuf};

/// CRIU's files, in an archive and before.
const IMAGES: &str = "checkpoint";
/// What the container was.
const CONFIG_DUMP: &str = "config.dump";
/// What it had changed of its image.
const CHANGES: &str = "rootfs-diff.tar";
/// What it had deleted of that: a list in JSON.
const DELETED: &str = "deleted.files";

/// Where a container is written to, below the folder of its writable layer.
fn writing(writable: &Path) -> PathBuf {
    writable.join("checkpoint")
}
