//! What a device needs in a container, as its file says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// A whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawFile {
    pub(crate) cdi_version: String,
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) devices: Vec<RawDevice>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) container_edits: CdiEdits,
}

/// One device of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawDevice {
    pub(crate) name: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(crate) container_edits: CdiEdits,
}

/// What is to be changed in a container, checked: texts without NUL, paths in the container absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiEdits {
    /// Variables, `NAME=value`.
    #[serde(default, deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// Device nodes.
    #[serde(default, deserialize_with = "or_empty")]
    pub device_nodes: Vec<CdiNode>,
    /// Network devices of the node that are moved into the container.
    #[serde(default, deserialize_with = "or_empty")]
    pub net_devices: Vec<CdiNetDevice>,
    /// Programs of the node that are run on the container.
    #[serde(default, deserialize_with = "or_empty")]
    pub hooks: Vec<CdiHook>,
    /// Mounts.
    #[serde(default, deserialize_with = "or_empty")]
    pub mounts: Vec<CdiMount>,
    /// Shares of caches and memory bandwidth.
    #[serde(default)]
    pub intel_rdt: Option<CdiRdt>,
    /// Further groups of the container's process. The specification's text writes them in another way than its code.
    #[serde(default, deserialize_with = "or_empty", alias = "additionalGIDs")]
    pub additional_gids: Vec<u32>,
}

/// A device node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiNode {
    /// In the container.
    pub path: String,
    /// On the node; empty: as in the container.
    #[serde(default, deserialize_with = "or_empty")]
    pub host_path: String,
    /// `b`, `c`, `u` or `p`; empty: as it is on the node.
    #[serde(default, deserialize_with = "or_empty", rename = "type")]
    pub kind: String,
    /// 0: as it is on the node.
    #[serde(default, deserialize_with = "or_empty")]
    pub major: i64,
    /// Counts with a major number alone.
    #[serde(default, deserialize_with = "or_empty")]
    pub minor: i64,
    /// Permission bits; `None`: as on the node.
    #[serde(default)]
    pub file_mode: Option<u32>,
    /// Of `rwm`; empty: all of them. `none`: nothing.
    #[serde(default, deserialize_with = "or_empty")]
    pub permissions: String,
    /// Owner; `None`: the container's user.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group; `None`: the container's.
    #[serde(default)]
    pub gid: Option<u32>,
}

impl CdiNode {
    /// Where it is on the node.
    #[must_use]
    pub fn host_path(&self) -> &str {
        if self.host_path.is_empty() { &self.path } else { &self.host_path }
    }

    /// Whether the file says what device it is, so that the node need not have it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.kind == "p" || (!self.kind.is_empty() && self.major != 0)
    }
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiNetDevice {
    /// On the node.
    pub host_interface_name: String,
    /// In the container.
    pub name: String,
}

/// A mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiMount {
    /// Its source: a path of the node for a bind mount.
    pub host_path: String,
    /// In the container.
    pub container_path: String,
    /// As mount(8) has them.
    #[serde(default, deserialize_with = "or_empty")]
    pub options: Vec<String>,
    /// File system; not looked at for a bind mount.
    #[serde(default, deserialize_with = "or_empty", rename = "type")]
    pub kind: String,
}

impl CdiMount {
    /// Whether it shows a path of the node. Without a file system it can do nothing else.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        self.kind == "bind" || self.says_bind() || matches!(self.kind.as_str(), "" | "none")
    }

    /// Whether its options say that it is a bind mount.
    #[must_use]
    pub fn says_bind(&self) -> bool {
        self.options.iter().any(|option| option == "bind" || option == "rbind")
    }
}

/// A program of the node that is run at a moment of the container's life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiHook {
    /// `prestart`, `createRuntime`, `createContainer`, `startContainer`, `poststart` or `poststop`.
    pub hook_name: String,
    /// The program, absolute.
    pub path: String,
    /// With its own name at first.
    #[serde(default, deserialize_with = "or_empty")]
    pub args: Vec<String>,
    /// Its variables.
    #[serde(default, deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// Seconds until it is killed.
    #[serde(default)]
    pub timeout: Option<i64>,
}

/// Settings of Intel's Resource Director Technology.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CdiRdt {
    /// The class of service.
    #[serde(default, deserialize_with = "or_empty", rename = "closID")]
    pub clos_id: String,
    /// Shares of the third cache.
    #[serde(default, deserialize_with = "or_empty")]
    pub l3_cache_schema: String,
    /// Shares of the memory's bandwidth.
    #[serde(default, deserialize_with = "or_empty")]
    pub mem_bw_schema: String,
    /// Whole lines of the class' schemata.
    #[serde(default)]
    pub schemata: Option<Vec<String>>,
    /// Whether what it uses is counted.
    #[serde(default, deserialize_with = "or_empty")]
    pub enable_monitoring: bool,
}

/// `null` is nothing, as writers of Go have it.
fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(source: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(source)?.unwrap_or_default())
}

impl CdiEdits {
    /// How many there are, of all kinds.
    pub(crate) fn count(&self) -> usize {
        let texts = self.hooks.iter().map(|hook| hook.args.len() + hook.env.len()).sum::<usize>()
            + self.mounts.iter().map(|mount| mount.options.len()).sum::<usize>();
        let schemata = self.intel_rdt.iter().filter_map(|rdt| rdt.schemata.as_ref()).map(Vec::len).sum::<usize>();
        self.env.len()
            + self.device_nodes.len()
            + self.net_devices.len()
            + self.hooks.len()
            + self.mounts.len()
            + usize::from(self.intel_rdt.is_some())
            + self.additional_gids.len()
            + texts
            + schemata
    }
}
