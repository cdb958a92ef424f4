//! Creates and starts one container, and prints what it writes until its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use peapod_api::v1;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::facts::ThisNode;
use super::images::ContainerImage;
use super::pod_dir::PodDir;
use super::rotation::{LogShare, RotatedLog};
use super::support::RuntimeSupport;
use super::termination::LastWords;
use super::voice::Voice;
use super::{RunError, messages};
use crate::connect::{CHANGE, CriClient, QUICK, call};
use crate::logs;
use crate::manifest::{Container, Pod};

/// How long the rest of a log may take to print before what it belongs to goes on without it.
const DRAIN: Duration = Duration::from_secs(5);

/// One `peapod run`: what is asked for, and whom. The pod need not be there.
pub(super) struct PodRun<'a> {
    pub(super) connection: &'a CriClient,
    pub(super) voice: Voice,
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
    pub(super) words: LastWords,
    ended: watch::Sender<bool>,
    printer: JoinHandle<()>,
    voice: Voice,
    name: String,
}

impl StartedContainer {
    /// Waits until all that the container wrote is printed, but not long for a slow reader. The runtime has reported
    /// its end.
    pub(super) async fn drain(mut self) {
        // Nobody receives if the printer has failed; then there is nothing to wait for.
        let _ = self.ended.send(true);
        if tokio::time::timeout(DRAIN, &mut self.printer).await.is_err() && !self.voice.console().leave(self.printer) {
            let text = format!("{}: the rest of its output is left out: nobody has read for too long", self.name);
            self.voice.note(text).await;
        }
    }
}

impl RunningPod<'_> {
    /// Where the pod is asked: at its own address, or at the node's in the node's network.
    pub(super) fn address(&self) -> &str {
        self.addresses.first().or(self.run.node.addresses.first()).map_or("127.0.0.1", String::as_str)
    }

    /// Starts a container for the `attempt`th time, counted from zero.
    pub(super) async fn launch(&self, container: &Container, attempt: u32) -> Result<StartedContainer, RunError> {
        let failed = |source| RunError::Container { name: container.name.clone(), source };
        let log = self.log(container, attempt);
        let (words, words_file) = LastWords::prepare(&self.run.dir.path, container, attempt, log)
            .map_err(|source| RunError::LastWords { name: container.name.clone(), source })?;
        let config = self.prepare(container, attempt, words_file.as_deref()).await;
        let mut config = config.map_err(|source| RunError::Prepare { name: container.name.clone(), source })?;
        config.stop_signal = container.life.stop_signal.into();
        if attempt > 0 {
            self.clear(container, attempt).await.map_err(failed)?;
        }
        let id = self.bring_up(&config).await.map_err(failed)?;
        self.check_stop_signal(container, &id).await;
        let (ended, receiver) = watch::channel(false);
        let log = RotatedLog {
            connection: self.run.connection.clone(),
            voice: self.run.voice.clone(),
            container: id.clone(),
            path: self.log(container, attempt),
            share: LogShare::USUAL,
        };
        // It ends with the container.
        tokio::spawn(log.keep_small(receiver.clone()));
        let printer = tokio::spawn(self.print(container, attempt, receiver));
        let (voice, name) = (self.run.voice.clone(), container.name.clone());
        Ok(StartedContainer { id, words, ended, printer, voice, name })
    }

    /// A runtime that does not know the field takes the image's signal without a word.
    async fn check_stop_signal(&self, container: &Container, id: &str) {
        let wanted = container.life.stop_signal;
        if wanted == v1::Signal::RuntimeDefault {
            return;
        }
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let mut client = self.run.connection.runtime.clone();
        let status = call("ContainerStatus", QUICK, client.container_status(request)).await;
        if status.is_ok_and(|answer| answer.status.is_some_and(|status| status.stop_signal() != wanted)) {
            let (name, runtime) = (&container.name, &self.run.connection.runtime_name);
            let text = format!("{name}: {runtime} does not carry out lifecycle.stopSignal; its image's signal is sent");
            self.run.voice.note(text).await;
        }
    }

    fn log(&self, container: &Container, attempt: u32) -> PathBuf {
        self.run.dir.path.join("logs").join(messages::log_path(container, attempt))
    }

    /// Prints the log of one attempt until its end.
    fn print(
        &self,
        container: &Container,
        attempt: u32,
        ended: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let path = self.log(container, attempt);
        let colour = self.run.pod.containers.iter().position(|other| other.name == container.name).unwrap_or_default();
        let (voice, name) = (self.run.voice.clone(), container.name.clone());
        async move {
            let sink = |line: logs::LogLine| {
                let (voice, name) = (voice.clone(), name.clone());
                async move { voice.line(colour, &name, line.stream, line.text).await }
            };
            if let Err(error) = logs::follow(&path, ended, sink).await {
                voice.note(format!("cannot read the log {}: {error}", path.display())).await;
            }
        }
    }

    /// Removes a container that did not start. If that fails, it is removed with the pod.
    pub(super) async fn forget(&self, id: String) {
        let mut client = self.run.connection.runtime.clone();
        let request = v1::RemoveContainerRequest { container_id: id };
        if let Err(error) = call("RemoveContainer", CHANGE, client.remove_container(request)).await {
            self.run.voice.note(error).await;
        }
    }
}
