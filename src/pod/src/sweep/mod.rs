//! What no record leads to: left by a daemon that died between making and recording, or between removing and forgetting.

mod cgroups;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::sandbox;

pub(crate) use cgroups::Cgroups;

/// Everything that a record names.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) pods: HashSet<PodId>,
    pub(crate) containers: HashSet<ContainerId>,
    /// Pods whose records can't be read, with cgroups of their containers.
    pub(crate) lost: Vec<(PodId, Vec<String>)>,
}

/// Gives back what nobody owns. Runs beside everything else: new ids are never among what was found before them, because
/// what is looked at was listed when only the recorded ones existed.
pub(crate) struct Sweep {
    node: Arc<Node>,
    lost: Vec<(PodId, Vec<String>)>,
    pods: Vec<String>,
    writable: Vec<String>,
    /// Bundles of containers that never were.
    bundles: Vec<PathBuf>,
    leases: Vec<String>,
    networks: Vec<String>,
    sockets: Vec<String>,
}

impl Sweep {
    /// Lists what is there but not known. Nothing new is made before this returns.
    pub(crate) async fn list(node: Arc<Node>, known: Known) -> Self {
        let pods = unknown(&node.config.run_root.join("pods"), &known.pods);
        let writable = unknown(&node.config.state_root.join("containers"), &known.containers);
        let is_known = |name: &str| known.containers.contains(name);
        let bundles = known.pods.iter().flat_map(|pod| container::unrecorded(&node.pod_dir(pod), is_known)).collect();
        let leases = match node.images.leases().await {
            Ok(leases) => leases
                .into_iter()
                .map(|(holder, _)| holder)
                .filter(|holder| !known.containers.contains(holder.as_str()))
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "leases of images can't be listed; the next start tries again");
                Vec::new()
            }
        };
        let networks = node.network.ids().into_iter().filter(|id| !known.pods.contains(id.as_str())).collect();
        let named: HashSet<_> = known.pods.iter().filter_map(|id| socket_name(&node, id)).collect();
        let sockets = unknown(&node.config.run_root.join("s"), &named);
        Self { node, lost: known.lost, pods, writable, bundles, leases, networks, sockets }
    }

    /// Gives it back. What fails is logged and found again by the next start.
    pub(crate) async fn run(self) {
        let Self { node, lost, pods, writable, bundles, leases, networks, sockets } = self;
        for (id, cgroups) in lost {
            let outcome = sandbox::run_delete(&node, &id, &cgroups).await;
            said("processes of pod", id.as_str(), outcome.map_err(|error| error.to_string()));
        }
        for name in pods {
            let Ok(id) = serde_json::from_value::<PodId>(name.clone().into()) else { continue };
            let outcome = sandbox::release(&node, &id, None, &node.socket(&id), true).await;
            let outcome = outcome.and(sandbox::remove_files(&node, &id).await);
            said("pod", &name, outcome.map_err(|error| error.to_string()));
        }
        for name in writable {
            let dir = node.config.state_root.join("containers").join(&name);
            let outcome = crate::dir::remove(&node.trash, dir).await;
            said("writable layer", &name, outcome.map_err(|error| error.to_string()));
        }
        for bundle in bundles {
            let (name, outcome) = (bundle.display().to_string(), crate::dir::remove(&node.trash, bundle).await);
            said("bundle", &name, outcome.map_err(|error| error.to_string()));
        }
        for holder in leases {
            let outcome = node.images.release(&holder).await;
            said("lease", &holder, outcome.map_err(|error| error.to_string()));
        }
        for id in networks {
            let outcome = node.network.detach(&id).await;
            said("network", &id, outcome.map_err(|error| error.to_string()));
        }
        for name in sockets {
            let outcome = sandbox::remove_socket(&node.config.run_root.join("s").join(&name));
            said("socket", &name, outcome.map_err(|error| error.to_string()));
        }
    }
}

/// The file name of a pod's socket.
fn socket_name(node: &Node, id: &PodId) -> Option<String> {
    Some(node.socket(id).file_name()?.to_str()?.to_owned())
}

fn said(what: &'static str, name: &str, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => tracing::info!(what, name, "removed what no record leads to"),
        Err(error) => tracing::warn!(what, name, error, "no record leads to this, but it can't be removed"),
    }
}

/// Entries of a folder that are not known.
fn unknown<K: std::borrow::Borrow<str> + std::hash::Hash + Eq>(dir: &Path, known: &HashSet<K>) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !known.contains(name.as_str()))
        .collect()
}
