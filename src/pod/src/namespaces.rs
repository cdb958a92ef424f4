//! The namespaces that a pod has of its own.

use std::path::PathBuf;

use peapod_shim_protocol::extension::Namespaces;

/// Paths below /proc or /run; none where the pod has the node's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodNamespaces {
    pub(crate) network: Option<PathBuf>,
    pub(crate) ipc: Option<PathBuf>,
    pub(crate) uts: Option<PathBuf>,
    /// Pod init's.
    pub(crate) pid: Option<PathBuf>,
    /// All the others belong to it.
    pub(crate) user: Option<PathBuf>,
}

impl From<Namespaces> for PodNamespaces {
    fn from(told: Namespaces) -> Self {
        let path = |text: String| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
        Self {
            network: path(told.network),
            ipc: path(told.ipc),
            uts: path(told.uts),
            pid: path(told.pid),
            user: path(told.user),
        }
    }
}

impl PodNamespaces {
    /// Kinds, as the OCI runtime specification names them, and paths.
    pub(crate) fn named(&self) -> Vec<(&'static str, PathBuf)> {
        let all = [
            ("user", &self.user),
            ("network", &self.network),
            ("ipc", &self.ipc),
            ("uts", &self.uts),
            ("pid", &self.pid),
        ];
        all.into_iter().filter_map(|(kind, path)| Some((kind, path.clone()?))).collect()
    }
}
