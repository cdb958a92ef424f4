//! What a shim is told of a container's mounts and of its cgroup.

use std::path::{Path, PathBuf};

use peapod_shim_protocol::extension;
use peapod_spec::UserNamespace;

/// An image to be mounted in the bundle, below `volumes`, beside the root file system: an overlay of its layers alone.
#[derive(Debug)]
pub(crate) struct NewVolume {
    pub(crate) name: String,
    /// Top layer first; two at least.
    pub(crate) lower: Vec<PathBuf>,
}

/// A container's cgroup.
#[derive(Debug)]
pub(crate) struct TaskCgroup {
    pub(crate) path: String,
    /// User and group that may divide it further, if somebody may.
    pub(crate) owner: Option<(u32, u32)>,
}

/// Paths that reach a shim are ours or were text in a request.
pub(super) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Options of an overlay of these folders, the top one first.
pub(super) fn lower(dirs: &[PathBuf]) -> Vec<String> {
    dirs.iter().map(|dir| format!("lowerdir+={}", text(dir))).collect()
}

/// Options of an overlay whose folders are seen with the owners of a pod's users.
pub(super) fn mapping(users: Option<UserNamespace>) -> impl Iterator<Item = String> {
    let ids = users.map(|UserNamespace { uids, gids }| [("uidmap", uids), ("gidmap", gids)]);
    ids.into_iter().flatten().map(|(name, ids)| format!("{name}=0:{}:{}", ids.first(), ids.count()))
}

/// The option that gives all of a file system that SELinux label.
pub(super) fn labelled(label: Option<String>) -> Option<String> {
    label.map(|label| format!("context={label}"))
}

/// In which group below its own a container begins that may divide that: one with controllers below has no processes.
const LEAF: &str = "init";

pub(super) fn delegation(owner: Option<(u32, u32)>) -> Option<extension::Delegation> {
    owner.map(|(uid, gid)| extension::Delegation { leaf: LEAF.to_owned(), uid, gid, ..Default::default() })
}

/// Without a folder that is written to the overlay itself is read-only: who remounts it can't write to it either.
pub(super) fn volume(volume: NewVolume, users: Option<UserNamespace>, label: Option<String>) -> extension::Volume {
    let flags = ["ro", "nodev", "nosuid"].map(str::to_owned);
    extension::Volume {
        name: volume.name,
        type_: "overlay".to_owned(),
        source: "overlay".to_owned(),
        options: lower(&volume.lower).into_iter().chain(mapping(users)).chain(labelled(label)).chain(flags).collect(),
        ..Default::default()
    }
}
