//! Creates and starts one container, and prints what it writes until its end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use peapod_api::v1;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::facts::ThisNode;
use super::images::ContainerImage;
use super::support::RuntimeSupport;
use super::volumes::PodDir;
use super::{RunError, messages};
use crate::connect::{CHANGE, CriClient, call};
use crate::console::Console;
use crate::logs;
use crate::manifest::{Container, Pod};

/// How long the rest of a log may take to print after a container's end.
const DRAIN: Duration = Duration::from_secs(10);

/// One `peapod run`: what is asked for, and whom. The pod need not be there.
pub(super) struct PodRun<'a> {
    pub(super) connection: &'a CriClient,
    pub(super) console: &'a Console,
    pub(super) pod: &'a Pod,
    pub(super) uid: String,
    pub(super) dir: PodDir,
    pub(super) sandbox: v1::PodSandboxConfig,
    pub(super) node: ThisNode,
    pub(super) support: RuntimeSupport,
}

/// The pod, once the runtime has it, with all that its containers are made from.
pub(super) struct RunningPod<'a> {
    pub(super) run: &'a PodRun<'a>,
    pub(super) sandbox_id: String,
    /// The pod's addresses; none in the node's network.
    pub(super) addresses: Vec<String>,
    /// The image of each container, by its name, and of volumes.
    pub(super) images: BTreeMap<String, ContainerImage>,
}

/// A started container.
pub(super) struct StartedContainer {
    pub(super) id: String,
    pub(super) since: Instant,
    ended: watch::Sender<bool>,
    printer: JoinHandle<()>,
}

impl StartedContainer {
    /// Waits until all that the container wrote is printed. The runtime has reported its end.
    pub(super) async fn drain(mut self) {
        // Nobody receives if the printer has failed; then there is nothing to wait for.
        let _ = self.ended.send(true);
        if tokio::time::timeout(DRAIN, &mut self.printer).await.is_err() {
            self.printer.abort();
        }
    }
}

impl RunningPod<'_> {
    /// Starts a container for the `attempt`th time, counted from zero.
    pub(super) async fn launch(&self, container: &Container, attempt: u32) -> Result<StartedContainer, RunError> {
        let failed = |source| RunError::Container { name: container.name.clone(), source };
        let id = self.create(container, attempt).await?;
        let mut client = self.run.connection.runtime.clone();
        let request = v1::StartContainerRequest { container_id: id.clone() };
        call("StartContainer", CHANGE, client.start_container(request)).await.map_err(failed)?;
        let (ended, receiver) = watch::channel(false);
        let printer = tokio::spawn(self.print(container, attempt, receiver));
        Ok(StartedContainer { id, since: Instant::now(), ended, printer })
    }

    async fn create(&self, container: &Container, attempt: u32) -> Result<String, RunError> {
        let config = self.prepare(container, attempt);
        let config = config.map_err(|source| RunError::Prepare { name: container.name.clone(), source })?;
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: self.sandbox_id.clone(),
            config: Some(config),
            sandbox_config: Some(self.run.sandbox.clone()),
        };
        let mut client = self.run.connection.runtime.clone();
        let created = call("CreateContainer", CHANGE, client.create_container(request)).await;
        let failed = |source| RunError::Container { name: container.name.clone(), source };
        created.map(|created| created.container_id).map_err(failed)
    }

    /// Prints the log of one attempt until its end.
    fn print(
        &self,
        container: &Container,
        attempt: u32,
        ended: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let path = self.run.dir.path.join("logs").join(messages::log_path(container, attempt));
        let colour = self.run.pod.containers.iter().position(|other| other.name == container.name).unwrap_or_default();
        let (console, name) = (self.run.console.clone(), container.name.clone());
        async move {
            let sink = |line: logs::LogLine| {
                let (console, name) = (console.clone(), name.clone());
                async move { console.line(colour, &name, line.stream, line.text).await }
            };
            if let Err(error) = logs::follow(&path, ended, sink).await {
                console.note(format!("cannot read the log {}: {error}", path.display())).await;
            }
        }
    }

    /// Removes a container of an earlier attempt. If that fails, it is removed with the pod.
    pub(super) async fn forget(&self, id: String) {
        let mut client = self.run.connection.runtime.clone();
        let request = v1::RemoveContainerRequest { container_id: id };
        if let Err(error) = call("RemoveContainer", CHANGE, client.remove_container(request)).await {
            self.run.console.note(error.to_string()).await;
        }
    }
}
