//! What operations on pods work with.

use std::path::PathBuf;
use std::sync::Arc;

use peapod_cgroup::Hierarchy;
use peapod_network::Network;
use peapod_spec::NodeFacts;
use peapod_sys::Trash;

use crate::layout::Layout;
use crate::shim::Launcher;

/// Makes pods, and gives back what they hold; an operation each in the files beside this one.
#[derive(Debug)]
pub(crate) struct SandboxOperations {
    pub(crate) layout: Arc<Layout>,
    /// Where trees of files go that may take long to remove.
    pub(crate) trash: Trash,
    pub(crate) network: Network,
    pub(crate) launcher: Launcher,
    /// The shim's binary, which also cleans up after a shim.
    pub(crate) shim: PathBuf,
    pub(crate) cgroups: Hierarchy,
    /// Of the node, whose name is that of pods in its network.
    pub(crate) facts: NodeFacts,
}
