//! The door of the heart.

mod ask;
mod recorded;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use peapod_image::Images;
use peapod_network::Network;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use peapod_store::Database;
use peapod_sys::Trash;
use tokio::sync::{oneshot, watch};
use tokio_util::task::TaskTracker;

use crate::ahead::Ahead;
use crate::clock;
use crate::config::{Config, Patience};
use crate::container::{self, ExecOutput, ExecRequest};
use crate::disk;
use crate::driver::{Beginning, Closed, Driver, Handle, Pod, Request};
use crate::error::{Error, OpenError};
use crate::facts;
use crate::features::{self, Features};
use crate::id::{ContainerId, PodId};
use crate::listed::{self, Listed};
use crate::node::Node;
use crate::record::{PodPhase, PodState};
use crate::registry::Registry;
use crate::shim::Launcher;
use crate::turns::Turns;
use crate::view::{ContainerState, ContainerView, Snapshot};

/// How many owners of a pod's name may vanish while a pod of that name is asked for.
const RUN_TRIES: usize = 8;
/// Beyond a container's grace, how long its end is awaited before the call gives up.
const KILL_MARGIN: Duration = Duration::from_secs(30);

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
            .map_err(|error| OpenError::Cgroup(crate::error::chain(&error)))?;
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
            hierarchy.cgroup(&config.shim_cgroup).map_err(|error| OpenError::Cgroup(crate::error::chain(&error)))?;
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
            snapshot: ArcSwap::default(),
            leftovers: TaskTracker::new(),
            said: Mutex::default(),
            features: features(&config).await,
            cgroups: hierarchy.clone(),
            closing: watch::Sender::new(false),
            ahead: Ahead::new(hierarchy),
            turns: Turns::of_processors(),
            filters: container::Programs::default(),
            outputs: container::OutputSlots::of_node(),
            listed: Listed::new(config.listed_bytes),
            patience: Mutex::new(config.patience),
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

    /// Whether containers of a handler, by its name or the default's empty one, can have mounts that are read-only with all below them.
    #[must_use]
    pub fn is_recursive_read_only(&self, handler: &str) -> bool {
        self.node.features(handler).recursive_read_only
    }

    /// Changes how long calls wait that begin to wait from now on.
    pub fn set_patience(&self, patience: Patience) {
        *self.node.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    /// All pods and containers now. No I/O, no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.node.snapshot.load_full()
    }

    /// Makes a pod. A retry with an equal spec joins a running call, or gets the same id until a container was asked for
    /// in the pod: only then is it sure that a client has received it.
    ///
    /// # Errors
    /// After one nothing of the pod is left, and its name is free.
    pub async fn run_pod(&self, spec: PodSpec) -> Result<PodId, Error> {
        self.node.runtime(&spec.runtime_handler)?;
        self.node.pod_cgroup(&spec)?;
        let spec = Arc::new(spec);
        for _ in 0..RUN_TRIES {
            let handle = self.node.registry.reserve(&spec.metadata, || self.new_driver(&spec))?;
            let (answer, result) = oneshot::channel();
            if handle.send(Request::Run { spec: Arc::clone(&spec), answer }).await.is_ok()
                && let Some(outcome) = self.wait_or_gone("the pod", &handle, result).await
            {
                return outcome;
            }
            // What had the name is gone this moment: it was removed, or an earlier daemon had left it half made.
        }
        Err(self.gone(|| Error::no_pod(format!("{}/{}", spec.metadata.namespace, spec.metadata.name))))
    }

    fn new_driver(&self, spec: &Arc<PodSpec>) -> Result<(PodId, Handle, tokio::task::JoinHandle<()>), Error> {
        disk::has_room(&self.node)?;
        let name = format!("pod {}/{}", spec.metadata.namespace, spec.metadata.name);
        let share = self.node.listed.reserve(&name, listed::of_pod(spec), &self.snapshot())?;
        let id = PodId::random().map_err(|error| Error::failed("make an id", &error))?;
        let record = PodState {
            phase: PodPhase::Setup,
            created_at: clock::now(),
            boot_id: self.node.boot_id.clone(),
            socket: self.node.socket(&id),
            shim_pid: 0,
            attached: false,
            ips: Vec::new(),
            netns: None,
            last_event: 0,
            cgroup: self.node.pod_cgroup(spec)?,
        };
        let pod = Pod::new(id.clone(), Arc::clone(spec), record, share);
        let (handle, task) = Driver::start(Arc::clone(&self.node), pod, Beginning::New);
        Ok((id, handle, task))
    }

    /// Kills what runs in a pod and gives back its network. Again is success.
    ///
    /// # Errors
    /// When something could not be given back; another call tries again.
    pub async fn stop_pod(&self, id: &PodId) -> Result<(), Error> {
        let handle = self.driver(id)?;
        self.ask("the pod's stop", &handle, || Error::no_pod(id.as_str()), |answer| Request::StopPod { answer }).await
    }

    /// Stops a pod if need be and removes it with its containers.
    ///
    /// # Errors
    /// When something could not be removed; another call tries again.
    pub async fn remove_pod(&self, id: &PodId) -> Result<(), Error> {
        let handle = self.driver(id)?;
        self.ask("the pod's removal", &handle, || Error::no_pod(id.as_str()), |answer| Request::RemovePod { answer })
            .await
    }

    /// Makes a container, without a process, in a READY pod. A retry with an equal spec joins a running call, or gets the
    /// same id until a call that changes the container has named it.
    ///
    /// # Errors
    /// When the request can't be met; nothing is left then.
    pub async fn create_container(&self, pod: &PodId, spec: ContainerSpec) -> Result<ContainerId, Error> {
        let handle = self.driver(pod)?;
        let spec = Box::new(spec);
        self.ask("the container", &handle, || Error::no_pod(pod.as_str()), |answer| Request::Create { spec, answer })
            .await
    }

    /// Starts a created container. A retry joins the start; on a container that runs it succeeds until the container was
    /// updated, stopped or removed.
    ///
    /// # Errors
    /// With the OCI runtime's words; the container is then exited, 128, `StartError`.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        let handle = self.driver_of(id)?;
        self.ask(
            "the container's start",
            &handle,
            || Error::no_container(id.as_str()),
            |answer| Request::Start { id: id.clone(), answer },
        )
        .await
    }

    /// Asks a container to end, kills it after `grace`, and returns when it has ended. Zero kills at once.
    /// A later call can only shorten the grace; a dropped one lifts nothing.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        let handle = self.driver_of(id)?;
        let grace_ns = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
        let deadline = clock::boottime().saturating_add(grace_ns);
        let gone = || Error::no_container(id.as_str());
        let (answer, result) = oneshot::channel();
        match handle.send(Request::Stop { id: id.clone(), deadline, answer }).await {
            Ok(()) => {
                let limit = grace.saturating_add(KILL_MARGIN);
                self.wait_for("the container's stop", &handle, result, limit, gone).await
            }
            Err(Closed) => Err(self.unanswered("the container's stop", &handle, gone)),
        }
    }

    /// Removes a container, killing it first if it runs.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        let handle = self.driver_of(id)?;
        self.ask(
            "the container's removal",
            &handle,
            || Error::no_container(id.as_str()),
            |answer| Request::Remove { id: id.clone(), answer },
        )
        .await
    }

    /// Changes limits of a created or running container. Zero and empty values keep what is.
    ///
    /// # Errors
    /// When the container has ended or the OCI runtime refuses.
    pub async fn update_container(&self, id: &ContainerId, change: Resources) -> Result<(), Error> {
        let handle = self.driver_of(id)?;
        let change = Box::new(change);
        self.ask(
            "the container's update",
            &handle,
            || Error::no_container(id.as_str()),
            |answer| Request::Update { id: id.clone(), change, answer },
        )
        .await
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

    /// Lets go of all pods, which run on, and ends the drivers.
    pub async fn close(&self) {
        let drivers = self.node.registry.take_all();
        for (handle, _) in &drivers {
            // A driver that ended by itself has nothing to close.
            let _ = handle.send(Request::Close).await;
        }
        for (_, task) in drivers {
            let _ = task.await;
        }
        self.node.closing.send_replace(true);
        self.node.leftovers.close();
        self.node.leftovers.wait().await;
    }

    /// The shim of a running container's pod, once the pod is recovered.
    async fn running(&self, id: &ContainerId) -> Result<(Arc<crate::shim::Shim>, Arc<ContainerView>), Error> {
        let mut handle = self.driver_of(id)?;
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

    fn driver(&self, id: &PodId) -> Result<Handle, Error> {
        self.node.registry.get(id).ok_or_else(|| Error::no_pod(id.as_str()))
    }

    fn driver_of(&self, id: &ContainerId) -> Result<Handle, Error> {
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
