//! The door of the heart.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use peapod_image::Images;
use peapod_network::Network;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use peapod_store::Database;

use crate::config::Config;
use crate::container::{ExecOutput, ExecRequest};
use crate::error::{Error, OpenError};
use crate::id::{ContainerId, PodId};
use crate::view::Snapshot;

/// All pods of the node. Clones are the same door.
#[derive(Clone, Debug)]
pub struct Pods {
    snapshot: Arc<ArcSwap<Snapshot>>,
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
}

impl Pods {
    /// Loads all records; recovers what was running in the background. Lists are complete when this returns.
    ///
    /// # Errors
    /// When records can't be read or the node lacks what every pod needs.
    pub async fn open(config: Config, parts: Parts) -> Result<Self, OpenError> {
        let _ = (config, parts);
        Ok(Self { snapshot: Arc::default() })
    }

    /// All pods and containers now. No I/O, no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Makes a pod. A retry with an equal spec joins a running call or takes a result that nobody received.
    ///
    /// # Errors
    /// After one nothing of the pod is left, and its name is free.
    pub async fn run_pod(&self, spec: PodSpec) -> Result<PodId, Error> {
        let _ = spec;
        Err(Error::ShuttingDown)
    }

    /// Kills what runs in a pod and gives back its network. Again is success.
    ///
    /// # Errors
    /// When something could not be given back; another call tries again.
    pub async fn stop_pod(&self, id: &PodId) -> Result<(), Error> {
        Err(Error::no_pod(id.as_str()))
    }

    /// Stops a pod if need be and removes it with its containers.
    ///
    /// # Errors
    /// When something could not be removed; another call tries again.
    pub async fn remove_pod(&self, id: &PodId) -> Result<(), Error> {
        Err(Error::no_pod(id.as_str()))
    }

    /// Makes a container, without a process, in a READY pod.
    ///
    /// # Errors
    /// When the request can't be met; nothing is left then.
    pub async fn create_container(&self, pod: &PodId, spec: ContainerSpec) -> Result<ContainerId, Error> {
        let _ = spec;
        Err(Error::no_pod(pod.as_str()))
    }

    /// Starts a created container.
    ///
    /// # Errors
    /// With the OCI runtime's words; the container is then exited, 128, `StartError`.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), Error> {
        Err(Error::no_container(id.as_str()))
    }

    /// Asks a container to end, kills it after `grace`, and returns when it has ended. Zero kills at once.
    /// A later call can only shorten the grace; a dropped one lifts nothing.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), Error> {
        let _ = grace;
        Err(Error::no_container(id.as_str()))
    }

    /// Removes a container, killing it first if it runs.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), Error> {
        Err(Error::no_container(id.as_str()))
    }

    /// Changes limits of a created or running container. Zero and empty values keep what is.
    ///
    /// # Errors
    /// When the container has ended or the OCI runtime refuses.
    pub async fn update_container(&self, id: &ContainerId, change: Resources) -> Result<(), Error> {
        let _ = change;
        Err(Error::no_container(id.as_str()))
    }

    /// Opens a running container's log anew at its path.
    ///
    /// # Errors
    /// When it doesn't run, or the file can't be made.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        Err(Error::no_container(id.as_str()))
    }

    /// Runs a command in a running container. Dropping the future kills the command.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn exec_sync(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecOutput, Error> {
        let _ = request;
        Err(Error::no_container(id.as_str()))
    }

    /// Lets go of all pods, which run on, and ends the drivers.
    pub async fn close(&self) {}
}
