//! What all calls work on.

use std::sync::{Arc, Mutex};

use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_network::Network;
use peapod_pod::{ContainerView, PodEntry, Pods, Resolved, Snapshot};
use peapod_store::SetAside;
use peapod_sys::sync::lock;

use super::status::{Answer, Failure};
use crate::bounds::ECHO;
use crate::config::Config;
use crate::stats::Sources;
use peapod_text::shortened;

/// What calls are handed on to: pods, images, the network, statistics.
pub(crate) struct Services {
    pub(crate) config: Config,
    pub(crate) pods: Pods,
    pub(crate) images: Images,
    pub(crate) network: Network,
    /// What containers and pods use.
    pub(crate) stats: Sources,
    /// Databases that could not be read, at this start or earlier, and are still in the state root.
    pub(crate) set_aside: Vec<SetAside>,
    /// As last told by the kubelet; for display, the built-in network has ranges of its own.
    pod_cidr: Mutex<String>,
}

impl Services {
    pub(crate) fn new(
        config: Config,
        pods: Pods,
        images: Images,
        network: Network,
        cgroups: Hierarchy,
        set_aside: Vec<SetAside>,
    ) -> Self {
        Self { config, pods, images, network, stats: Sources::new(cgroups), set_aside, pod_cidr: Mutex::default() }
    }

    /// Remembers the kubelet's pod CIDR; true if it is another one than before.
    pub(crate) fn set_pod_cidr(&self, cidr: String) -> bool {
        let mut current = lock(&self.pod_cidr);
        let changed = *current != cidr;
        *current = cidr;
        changed
    }

    /// The kubelet's pod CIDR; empty before it was told.
    pub(crate) fn pod_cidr(&self) -> String {
        lock(&self.pod_cidr).clone()
    }
}

/// The pod that an id or the unique beginning of one means.
pub(crate) fn find_pod<'s>(snapshot: &'s Snapshot, id: &str) -> Answer<&'s Arc<PodEntry>> {
    one("pod sandbox", id, snapshot.find_pod(id))
}

/// The container that an id or the unique beginning of one means, with its pod.
pub(crate) fn find_container<'s>(
    snapshot: &'s Snapshot,
    id: &str,
) -> Answer<(&'s Arc<PodEntry>, &'s Arc<ContainerView>)> {
    one("container", id, snapshot.find_container(id))
}

fn one<T>(what: &'static str, id: &str, resolved: Resolved<T>) -> Answer<T> {
    let id = shortened(id, ECHO);
    match resolved {
        Resolved::One(found) => Ok(found),
        Resolved::Unknown => Err(Failure::NotFound { what, id: id.into_owned() }),
        Resolved::Ambiguous => Err(Failure::Ambiguous { what, id: id.into_owned() }),
    }
}

/// Success, where a call wants something gone that is gone.
pub(crate) fn gone_is_success(answer: Answer<()>) -> Answer<()> {
    match answer {
        Err(failure) if failure.is_gone() => Ok(()),
        other => other,
    }
}
