//! What all pods share: the node, its rooms, and what readers see.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use peapod_cgroup::Hierarchy;
use peapod_image::Images;
use peapod_network::Network;
use peapod_spec::pod::PodSpec;
use peapod_spec::{NodeFacts, Note};
use peapod_store::Database;
use peapod_sys::Trash;
use peapod_sys::sync::lock;
use peapod_text::excerpt;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::cgroup_warm_up::CgroupWarmUp;
use crate::config::{Config, OciRuntime, Timeouts};
use crate::container::{OutputSlots, Programs};
use crate::error::Error;
use crate::features::Features;
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::listed::Listed;
use crate::load::Usual;
use crate::publisher::Publisher;
use crate::record::PodCgroup;
use crate::registry::Registry;
use crate::shim::Launcher;
use crate::start_limiter::StartLimiter;
use crate::sweep::Making;

/// The node.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) layout: Arc<Layout>,
    /// Of now; the one in `config` is that of the start.
    pub(crate) timeouts: Mutex<Timeouts>,
    pub(crate) db: Database,
    pub(crate) images: Images,
    pub(crate) network: Network,
    /// Where trees of files go that may take long to remove.
    pub(crate) trash: Trash,
    pub(crate) launcher: Launcher,
    pub(crate) facts: NodeFacts,
    pub(crate) cgroups: Hierarchy,
    /// What runtimes can do, by the names of their handlers.
    pub(crate) features: BTreeMap<String, Features>,
    pub(crate) boot_id: String,
    pub(crate) registry: Registry,
    pub(crate) publisher: Publisher,
    /// Containers without a record yet.
    pub(crate) making: Making,
    /// Owner of what abandoned calls leave to be done.
    pub(crate) leftovers: TaskTracker,
    /// What the node can't grant is said once, not for each container.
    pub(crate) said: Mutex<HashSet<Note>>,
    /// Set when the daemon ends.
    pub(crate) closing: watch::Sender<bool>,
    /// Of moves of containers' processes into their cgroups.
    pub(crate) warm_up: CgroupWarmUp,
    /// How many containers are started or removed at a time.
    pub(crate) start_limiter: StartLimiter,
    /// Compiled system call filters.
    pub(crate) filters: Programs,
    /// Memory for what commands write.
    pub(crate) outputs: OutputSlots,
    /// What lists show.
    pub(crate) listed: Listed,
}

impl Node {
    /// How long calls wait, as of now.
    pub(crate) fn timeouts(&self) -> Timeouts {
        *lock(&self.timeouts)
    }

    /// A pod's folder on the run root.
    pub(crate) fn pod_dir(&self, id: &PodId) -> PathBuf {
        self.layout.pod_dir(id)
    }

    /// A container's bundle.
    pub(crate) fn bundle(&self, pod: &PodId, id: &ContainerId) -> PathBuf {
        self.layout.bundle(pod, id)
    }

    /// The folder of a container's writable layer.
    pub(crate) fn writable(&self, id: &ContainerId) -> PathBuf {
        self.layout.writable(id)
    }

    /// Where a pod's shim listens. Short, because a socket's path has 107 bytes.
    pub(crate) fn socket(&self, id: &PodId) -> PathBuf {
        self.layout.socket(id)
    }

    /// Where a pod's things are whose own record does not say.
    pub(crate) fn usual(&self) -> Usual<'_> {
        let (driver, parent) = (self.config.cgroup_driver, self.config.cgroup_parent.clone());
        Usual { layout: &self.layout, boot_id: &self.boot_id, cgroup: PodCgroup { driver, parent } }
    }

    /// Where a new pod's containers will have their cgroups.
    pub(crate) fn pod_cgroup(&self, spec: &PodSpec) -> Result<PodCgroup, Error> {
        let driver = self.config.cgroup_driver;
        let parent = match &spec.cgroup_parent {
            None => self.config.cgroup_parent.clone(),
            Some(parent) => driver.parent(parent).map_err(|error| Error::Invalid {
                field: "config.linux.cgroup_parent".to_owned(),
                reason: format!("{} {}; peapod's cgroup driver is {}", excerpt(parent), error.why, driver.name()),
            })?,
        };
        Ok(PodCgroup { driver, parent })
    }

    fn handler<'a>(&'a self, handler: &'a str) -> &'a str {
        if handler.is_empty() { &self.config.default_runtime } else { handler }
    }

    /// What the runtime behind a handler's name can do.
    pub(crate) fn features(&self, handler: &str) -> Features {
        self.features.get(self.handler(handler)).copied().unwrap_or_default()
    }

    /// The OCI runtime behind a handler's name.
    pub(crate) fn runtime(&self, handler: &str) -> Result<&OciRuntime, Error> {
        let name = self.handler(handler);
        self.config.runtimes.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.config.runtimes.keys().map(String::as_str).collect();
            Error::Invalid {
                field: "runtime_handler".to_owned(),
                reason: format!("{} is not configured; configured are {}", excerpt(name), known.join(", ")),
            }
        })
    }

    /// Logs each thing once that the node can't grant.
    pub(crate) fn say_once(&self, notes: Vec<Note>) {
        for note in notes {
            let mut said = lock(&self.said);
            // Notes repeat; a client that makes them differ on purpose gets no more of them.
            if said.len() < 256 && !said.contains(&note) {
                tracing::warn!("{note} (said once)");
                said.insert(note);
            }
        }
    }
}
