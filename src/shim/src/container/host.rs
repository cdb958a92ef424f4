//! What all containers of a pod are made with.

use peapod_cgroup::Hierarchy;

use crate::runtime::Launcher;
use crate::stdio::Null;

/// The shim's and the node's part in a container.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) launcher: Launcher,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) null: Null,
}
