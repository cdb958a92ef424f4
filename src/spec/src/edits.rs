//! What devices change in a container beside their nodes: variables, mounts, groups, hooks.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, LinuxIntelRdt};

/// What all devices of a container need, in the order in which they were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edits {
    /// Variables, `NAME=value`. Each takes the place of one of that name, whoever set it.
    pub env: Vec<String>,
    /// Mounts. Each takes the place of one at that path, whoever asked for it.
    pub mounts: Vec<EditMount>,
    /// Programs of the node, which the OCI runtime runs as root.
    pub hooks: Vec<(HookMoment, Hook)>,
    /// Groups of the container's process. Root's is none that a device gives.
    pub groups: Vec<u32>,
    /// Shares of caches and of the memory's bandwidth.
    pub intel_rdt: Option<LinuxIntelRdt>,
    /// Network devices of the node that move to the container: their names there, and inside.
    pub net_devices: BTreeMap<String, String>,
}

/// A mount that a device needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditMount {
    /// Of the node and without symbolic links, for a bind mount.
    pub source: PathBuf,
    /// In the container, absolute.
    pub container_path: PathBuf,
    /// The file system; `bind` for a bind mount.
    pub kind: String,
    /// As the OCI runtime takes them.
    pub options: Vec<String>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookMoment {
    /// As `CreateRuntime`; older than that.
    Prestart,
    /// The container's namespaces are there; it is run in the node's.
    CreateRuntime,
    /// The same, run in the container's.
    CreateContainer,
    /// Right before the container's process, in the container.
    StartContainer,
    /// The container's process runs.
    Poststart,
    /// The container is removed.
    Poststop,
}

impl std::str::FromStr for HookMoment {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "prestart" => Self::Prestart,
            "createRuntime" => Self::CreateRuntime,
            "createContainer" => Self::CreateContainer,
            "startContainer" => Self::StartContainer,
            "poststart" => Self::Poststart,
            "poststop" => Self::Poststop,
            _ => return Err(()),
        })
    }
}
