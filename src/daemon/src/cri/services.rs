//! What all calls work on.

use std::sync::{Arc, Mutex};

use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_network::Network;
use peapod_pod::{ContainerView, PodEntry, Pods, Resolved, Snapshot};
use peapod_store::SetAside;
use peapod_sys::sync::lock;
use peapod_trace::Tracer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::encoded_list::EncodedLists;
use super::status::{Answer, Failure};
use crate::bounds::{ECHO, EVENT_STREAMS, EXPORTS, IMPORTS, LIST_STREAMS, METRIC_LISTS};
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
    /// Pods and containers as they were listed last.
    pub(crate) lists: EncodedLists,
    /// What calls do, and did.
    pub(crate) tracer: Tracer,
    /// Databases that could not be read, at this start or earlier, and are still in the state root.
    pub(crate) set_aside: Vec<SetAside>,
    /// True once the daemon ends.
    pub(crate) end: watch::Receiver<bool>,
    /// For calls that hold much.
    pub(crate) places: ServicePlaces,
    /// As last told by the kubelet; for display, the built-in network has ranges of its own.
    pod_cidr: Mutex<String>,
}

/// For calls of which there may be few at a time.
pub(crate) struct ServicePlaces {
    /// Those who subscribe to events.
    pub(crate) event_streams: CallPlaces,
    /// Those who take lists in pages.
    pub(crate) list_streams: CallPlaces,
    /// Those who take metrics of all pods in one message.
    pub(crate) metric_lists: CallPlaces,
    /// Those who bring archives of images.
    pub(crate) imports: CallPlaces,
    /// Those who take them.
    pub(crate) exports: CallPlaces,
}

/// What was opened of the node.
pub(crate) struct NodeParts {
    pub(crate) pods: Pods,
    pub(crate) images: Images,
    pub(crate) network: Network,
    /// Which these tell their stages.
    pub(crate) tracer: Tracer,
}

impl Services {
    pub(crate) fn new(
        config: Config,
        opened: NodeParts,
        cgroups: Hierarchy,
        set_aside: Vec<SetAside>,
        end: watch::Receiver<bool>,
    ) -> Self {
        let NodeParts { pods, images, network, tracer } = opened;
        let (stats, pod_cidr) = (Sources::new(cgroups, config.state_root.clone()), Mutex::default());
        let places = ServicePlaces {
            event_streams: CallPlaces::new("streams of events", EVENT_STREAMS),
            list_streams: CallPlaces::new("streamed lists", LIST_STREAMS),
            metric_lists: CallPlaces::new("lists of metrics", METRIC_LISTS),
            imports: CallPlaces::new("imports", IMPORTS),
            exports: CallPlaces::new("exports", EXPORTS),
        };
        Self {
            streaming: Streaming::new(),
            config,
            pods,
            images,
            network,
            stats,
            lists: EncodedLists::default(),
            tracer,
            set_aside,
            end,
            places,
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
