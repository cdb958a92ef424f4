//! What all calls work on.

use std::sync::{Arc, Mutex};

use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_network::Network;
use peapod_pod::{ContainerView, PodEntry, Pods, Resolved, Snapshot};
use peapod_store::SetAside;
use peapod_sys::sync::lock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::status::{Answer, Failure};
use crate::bounds::{ECHO, EVENT_STREAMS, LIST_STREAMS, METRIC_LISTS};
use crate::config::Config;
use crate::stats::Sources;
use crate::streaming::Streaming;
use peapod_text::shortened;

/// What calls are handed on to: pods, images, the network, statistics.
pub(crate) struct Services {
    pub(crate) config: Config,
    pub(crate) pods: Pods,
    pub(crate) images: Images,
    pub(crate) network: Network,
    /// The server of exec, attach and port-forward.
    pub(crate) streaming: Streaming,
    /// What containers and pods use.
    pub(crate) stats: Sources,
    /// Databases that could not be read, at this start or earlier, and are still in the state root.
    pub(crate) set_aside: Vec<SetAside>,
    /// True once the daemon ends.
    pub(crate) end: watch::Receiver<bool>,
    /// Those who subscribe to events.
    pub(crate) event_streams: CallPlaces,
    /// Those who take lists in pages.
    pub(crate) list_streams: CallPlaces,
    /// Those who take metrics of all pods in one message.
    pub(crate) metric_lists: CallPlaces,
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
        end: watch::Receiver<bool>,
    ) -> Self {
        let (stats, pod_cidr) = (Sources::new(cgroups, config.state_root.clone()), Mutex::default());
        let event_streams = CallPlaces::new("streams of events", EVENT_STREAMS);
        let list_streams = CallPlaces::new("streamed lists", LIST_STREAMS);
        let metric_lists = CallPlaces::new("lists of metrics", METRIC_LISTS);
        Self {
            streaming: Streaming::new(),
            config,
            pods,
            images,
            network,
            stats,
            set_aside,
            end,
            event_streams,
            list_streams,
            metric_lists,
            pod_cidr,
        }
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

/// So many calls of a kind whose answers take room.
pub(crate) struct CallPlaces {
    what: &'static str,
    limit: usize,
    free: Arc<Semaphore>,
}

impl CallPlaces {
    fn new(what: &'static str, limit: usize) -> Self {
        Self { what, limit, free: Arc::new(Semaphore::new(limit)) }
    }

    /// How many there are.
    pub(crate) fn taken(&self) -> usize {
        self.limit - self.free.available_permits()
    }

    /// A place for one more, until that ends.
    pub(crate) fn take(&self) -> Answer<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.free).try_acquire_owned();
        place.map_err(|_| Failure::Full { what: self.what, limit: self.limit })
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
