//! The door of the heart.

mod call;
mod recorded;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peapod_image::Images;
use peapod_network::Network;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use peapod_store::Database;
use peapod_sys::Trash;
use peapod_sys::sync::lock;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::actor::{self, Handle, Machine};
use crate::cgroup_warm_up::CgroupWarmUp;
use crate::clock;
use crate::config::{Config, Timeouts};
use crate::container::{self, ExecOutput, ExecRequest};
use crate::disk;
use crate::error::{Error, OpenError};
use crate::facts;
use crate::features::{self, Features};
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::listed::{self, Listed};
use crate::machine::{Identity, NewContainer, Reply, Request};
use crate::node::Node;
use crate::publisher::{Publisher, Subscription};
use crate::registry::Registry;
use crate::shim::Launcher;
use crate::start_limiter::StartLimiter;
use crate::sweep::Making;
use crate::view::{ContainerState, ContainerView, Snapshot};

/// How many owners of a pod's name may vanish while a pod of that name is asked for.
const RUN_TRIES: usize = 8;
/// Beyond a container's grace, how long its end is awaited before the call gives up.
const KILL_MARGIN: Duration = Duration::from_secs(30);

use call::Subject;

/// All pods of the node. Clones are the same door.
#[derive(Clone)]
pub struct Pods {
    node: Arc<Node>,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

/// What the heart works with.
#[derive(Clone)]
pub struct Parts {
    /// state.db, opened with [`crate::MIGRATIONS`] among its migrations.
    pub db: Database,
    /// Images and their layers.
    pub images: Images,
    /// Networks of pods.
    pub network: Network,
    /// Where trees of files go, on the file system of the state root.
    pub trash: Trash,
}

impl Pods {
    /// Loads all records; recovers what was running in the background. Lists are complete when this returns.
    ///
    /// # Errors
    /// When records can't be read or the node lacks what every pod needs.
    pub async fn open(config: Config, parts: Parts) -> Result<Self, OpenError> {
        let hierarchy = peapod_cgroup::Hierarchy::detect(&config.cgroup_root)
            .map_err(|error| OpenError::Cgroup(peapod_text::chain(&error)))?;
        for dir in ["pods", "s"] {
            let path = config.run_root.join(dir);
            std::fs::create_dir_all(&path)
                .map_err(|source| OpenError::Node { step: format!("can't make {}", path.display()), source })?;
        }
        let boot_id = std::fs::read_to_string(&config.boot_id_file).map_err(|source| OpenError::Node {
            step: format!("can't read this boot's id from {}", config.boot_id_file.display()),
            source,
        })?;
        if config.cgroup_driver == peapod_cgroup::Driver::Cgroupfs {
            // So that others can see from the start that somebody uses it.
            let made = hierarchy.cgroup(&config.cgroup_parent).map(|parent| parent.create());
            if let Ok(Err(error)) = made {
                tracing::warn!(%error, "the parent of pods' cgroups can't be made yet");
            }
        }
        let facts = facts::gather(&config.cgroup_root, hierarchy.is_v2());
        let shims =
            hierarchy.cgroup(&config.shim_cgroup).map_err(|error| OpenError::Cgroup(peapod_text::chain(&error)))?;
        let launcher = Launcher::new(config.shim.clone(), shims, config.run_root.join("s")).await;
        let launcher = launcher.map_err(|source| OpenError::Node {
            step: format!("can't put shims into cgroup {}", config.shim_cgroup),
            source,
        })?;
        let node = Arc::new(Node {
            launcher,
            facts,
            boot_id: boot_id.trim().to_owned(),
            db: parts.db,
            images: parts.images,
            network: parts.network,
            trash: parts.trash,
            registry: Registry::default(),
            publisher: Publisher::new(),
            layout: Arc::new(Layout::new(&config.run_root, &config.state_root)),
            making: Making::default(),
            leftovers: TaskTracker::new(),
            said: Mutex::default(),
            features: features(&config).await,
            cgroups: hierarchy.clone(),
            closing: watch::Sender::new(false),
            warm_up: CgroupWarmUp::new(hierarchy),
            start_limiter: StartLimiter::for_processors(),
            filters: container::Programs::default(),
            outputs: container::OutputSlots::of_node(),
            listed: Listed::new(config.listed_bytes),
            timeouts: Mutex::new(config.timeouts),
            config,
        });
        let pods = Self { node };
        pods.load().await?;
        Ok(pods)
    }

    /// Limits as they stand in a `config.json` of this node, `linux.resources` without devices.
    ///
    /// # Errors
    /// Never with limits that were checked.
    pub fn limits_json(&self, resources: &Resources) -> Result<Vec<u8>, Error> {
        peapod_spec::resources_json(&peapod_spec::linux_resources(resources, &self.node.facts))
            .map_err(|error| Error::failed("write limits as JSON", &error))
    }

    /// Whether containers of a handler, by its name or the default's empty one, can have mounts that are read-only with
    /// all below them.
    #[must_use]
    pub fn is_recursive_read_only(&self, handler: &str) -> bool {
        self.node.features(handler).recursive_read_only
    }

    /// Changes how long calls wait that begin to wait from now on.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        *lock(&self.node.timeouts) = timeouts;
    }

    /// All pods and containers now. No I/O, no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.node.publisher.snapshot()
    }

    /// What lists show, and each change of that from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.node.publisher.subscribe()
    }

    /// Makes a pod. A retry with an equal spec joins a running call, or gets the same id until a container was asked
    /// for in the pod: only then is it sure that a client has received it.
    ///
    /// # Errors
    /// After one nothing of the pod is left, and its name is free.
    pub async fn run_pod(&self, spec: PodSpec) -> Result<PodId, Error> {
        self.node.runtime(&spec.runtime_handler)?;
        let spec = Arc::new(spec);
        for _ in 0..RUN_TRIES {
            let handle = self.node.registry.reserve(&spec.metadata, || self.new_actor(&spec))?;
            if let Some(outcome) = self.call_or_gone("the pod", &handle, Request::Run(Arc::clone(&spec))).await {
                return outcome.map(|_| handle.id().clone());
            }
            // What had the name is gone this moment: it was removed, or an earlier daemon had left it half made.
        }
        Err(self.gone(|| Error::no_pod(format!("{}/{}", spec.metadata.namespace, spec.metadata.name))))
    }

    fn new_actor(&self, spec: &Arc<PodSpec>) -> Result<(PodId, Handle, tokio::task::JoinHandle<()>), Error> {
        let cgroup = self.node.pod_cgroup(spec)?;
        disk::has_room(&self.node)?;
        let name = format!("pod {}/{}", spec.metadata.namespace, spec.metadata.name);
        let share = self.node.listed.reserve(&name, listed::of_pod(spec), &self.snapshot())?;
        let id = PodId::random().map_err(|error| Error::failed("make an id", &error))?;
        let identity = Identity {
            id: id.clone(),
            spec: Arc::clone(spec),
            created_at: clock::now(),
            boot_id: self.node.boot_id.clone(),
            socket: self.node.socket(&id),
            cgroup,
            layout: Arc::clone(&self.node.layout),
        };
        let pod = actor::Pod { machine: Machine::new(identity, share), connection: None };
        let (handle, task) = actor::start(Arc::clone(&self.node), pod, true);
        Ok((id, handle, task))
    }

    /// Kills what runs in a pod and gives back its network. Again is success.
    ///
    /// # Errors
    /// When something could not be given back; another call tries again.
    pub async fn stop_pod(&self, id: &PodId) -> Result<(), Error> {
        let handle = self.actor(id)?;
        self.call("the pod's stop", Subject::Pod(id), &handle, Request::StopPod).await.map(drop)
    }

    /// Stops a pod if need be and removes it with its containers.
    ///
    /// # Errors
    /// When something could not be removed; another call tries again.
    pub async fn remove_pod(&self, id: &PodId) -> Result<(), Error> {
        let handle = self.actor(id)?;
        self.call("the pod's removal", Subject::Pod(id), &handle, Request::RemovePod).await.map(drop)
    }

    /// Makes a container, without a process, in a READY pod. A retry with an equal spec joins a running call, or gets
    /// the same id until a call that changes the container has named it.
    ///
    /// # Errors
    /// When the request can't be met; nothing is left then.
    pub async fn create_container(&self, pod: &PodId, spec: ContainerSpec) -> Result<ContainerId, Error> {
        let (what, handle) = ("the container", self.actor(pod)?);
        let name = format!("container {}", spec.metadata.name);
        let admitted = disk::has_room(&self.node)
            .and_then(|()| self.node.listed.reserve(&name, listed::of_container(&spec), &self.snapshot()));
        let id = ContainerId::random().map_err(|error| Error::failed("make an id", &error))?;
        let new = Box::new(NewContainer { id, spec, admitted });
        match self.call(what, Subject::Pod(pod), &handle, Request::Create(new)).await? {
            Reply::Created(id) => Ok(id),
            Reply::Done => Err(Error::Defect { what }),
        }
    }

    /// Starts a created container. A retry joins the start; on a container that runs it succeeds until the container
    /// was updated, stopped or removed.
    ///
    /// # Errors
    /// With the OCI runtime's words; the container is then exited, 128, `StartError`.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        let handle = self.actor_of(id)?;
        let request = Request::Start(id.clone(), disk::has_room(&self.node));
        self.call("the container's start", Subject::Container(id), &handle, request).await.map(drop)
    }

    /// Asks a container to end, kills it after `grace`, and returns when it has ended. Zero kills at once.
    /// A later call can only shorten the grace; a dropped one lifts nothing.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        let handle = self.actor_of(id)?;
        let grace_ns = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
        let request = Request::Stop(id.clone(), clock::boottime().saturating_add(grace_ns));
        let limit = grace.saturating_add(KILL_MARGIN);
        self.call_within("the container's stop", Subject::Container(id), &handle, request, limit).await.map(drop)
    }

    /// Removes a container, killing it first if it runs.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        let handle = self.actor_of(id)?;
        let request = Request::Remove(id.clone());
        self.call("the container's removal", Subject::Container(id), &handle, request).await.map(drop)
    }

    /// Changes limits of a created or running container. Zero and empty values keep what is.
    ///
    /// # Errors
    /// When the container has ended or the OCI runtime refuses.
    pub async fn update_container(&self, id: &ContainerId, change: Resources) -> Result<(), Error> {
        let handle = self.actor_of(id)?;
        let request = Request::Update(id.clone(), Box::new(change));
        self.call("the container's update", Subject::Container(id), &handle, request).await.map(drop)
    }

    /// Opens a running container's log anew at its path.
    ///
    /// # Errors
    /// When it doesn't run, or the file can't be made.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        let (shim, _) = self.running(id).await?;
        shim.reopen_log(id.as_str()).await.map_err(|error| error.into_error("reopen the container's log"))
    }

    /// Runs a command in a running container. Dropping the future kills the command.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn exec_sync(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecOutput, Error> {
        let (shim, container) = self.running(id).await?;
        container::exec_sync(&self.node, &shim, &container, &request).await
    }

    /// Lets go of all pods, which run on, and ends the actors.
    pub async fn close(&self) {
        let actors = self.node.registry.take_all();
        for (handle, _) in &actors {
            handle.close().await;
        }
        for (_, task) in actors {
            let _ = task.await;
        }
        self.node.closing.send_replace(true);
        self.node.leftovers.close();
        self.node.leftovers.wait().await;
    }

    /// The shim of a running container's pod, once the pod is recovered.
    async fn running(&self, id: &ContainerId) -> Result<(Arc<crate::shim::Shim>, Arc<ContainerView>), Error> {
        let mut handle = self.actor_of(id)?;
        handle.recovered().await;
        let snapshot = self.snapshot();
        let (_, container) = snapshot.container(id).ok_or_else(|| Error::no_container(id.as_str()))?;
        let state = match container.state {
            ContainerState::Running { .. } => match handle.shim() {
                Some(shim) => return Ok((shim, Arc::clone(container))),
                None => "without a shim that this peapod can ask",
            },
            ContainerState::Created => "created",
            ContainerState::Exited { .. } => "exited",
        };
        let need = "this needs a running container";
        Err(Error::Precondition { what: "container", id: id.to_string(), state: state.to_owned(), need })
    }

    fn actor(&self, id: &PodId) -> Result<Handle, Error> {
        self.node.registry.get(id).ok_or_else(|| Error::no_pod(id.as_str()))
    }

    fn actor_of(&self, id: &ContainerId) -> Result<Handle, Error> {
        let snapshot = self.snapshot();
        let (entry, _) = snapshot.container(id).ok_or_else(|| Error::no_container(id.as_str()))?;
        self.node.registry.get(&entry.pod.id).ok_or_else(|| Error::no_container(id.as_str()))
    }
}

/// Asks all runtimes at once.
async fn features(config: &Config) -> BTreeMap<String, Features> {
    let asked: Vec<_> = config
        .runtimes
        .iter()
        .map(|(name, runtime)| {
            let (name, runtime) = (name.clone(), runtime.clone());
            tokio::spawn(async move { (name, features::ask(&runtime).await) })
        })
        .collect();
    let mut features = BTreeMap::new();
    for answer in asked {
        features.extend(answer.await.ok());
    }
    features
}
