//! One attempt to run a container, made once: an answer that was lost on its way says nothing about what was done, so
//! the runtime is asked what it has before anything is done again.

use peapod_api::v1;
use tonic::{Code, Status};

use super::launch::RunningPod;
use super::patience::RuntimePatience;
use crate::connect::{CHANGE, CallError, QUICK, call};
use crate::manifest::Container;
use crate::{labels, teardown};

/// What became of a start whose answer was lost.
enum LostStart {
    Done,
    /// Nobody has begun with it, as far as the runtime tells.
    Open,
    Failed(CallError),
}

impl RunningPod<'_> {
    /// Creates and starts a container; answers its id. One that does not start is removed again.
    pub(super) async fn bring_up(&self, config: &v1::ContainerConfig) -> Result<String, CallError> {
        let mut patience = RuntimePatience::default();
        let id = self.create_once(config, &mut patience).await?;
        match self.start_once(&id, &mut patience).await {
            Ok(()) => Ok(id),
            Err(error) => {
                self.forget(id).await;
                Err(error)
            }
        }
    }

    /// Removes what is left of a container's other attempts, whatever it does: two of them never run at once.
    pub(super) async fn clear(&self, container: &Container, attempt: u32) -> Result<(), CallError> {
        let mut patience = RuntimePatience::default();
        let is_old = |known: &v1::ContainerMetadata| known.name == container.name && known.attempt != attempt;
        for old in self.attempts(&mut patience, is_old).await? {
            let remove = async || {
                let request = v1::RemoveContainerRequest { container_id: old.id.clone() };
                let mut client = self.run.connection.runtime.clone();
                call("RemoveContainer", CHANGE, client.remove_container(request)).await
            };
            match patience.ask(remove).await {
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                // It is removed with the pod.
                Err(error) if old.state() == v1::ContainerState::ContainerExited => self.run.voice.note(error).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn create_once(
        &self,
        config: &v1::ContainerConfig,
        patience: &mut RuntimePatience,
    ) -> Result<String, CallError> {
        let wanted = config.metadata.clone().unwrap_or_default();
        let mut was_lost = false;
        loop {
            let request = v1::CreateContainerRequest {
                pod_sandbox_id: self.sandbox_id.clone(),
                config: Some(config.clone()),
                sandbox_config: Some(self.run.sandbox.clone()),
            };
            let mut client = self.run.connection.runtime.clone();
            let error = match call("CreateContainer", CHANGE, client.create_container(request)).await {
                Ok(created) => return Ok(created.container_id),
                Err(error) => error,
            };
            was_lost |= error.is_unanswered();
            if !was_lost {
                return Err(error);
            }
            if let Some(made) = self.attempts(patience, |known| *known == wanted).await?.pop() {
                return Ok(made.id);
            }
            // A name that is taken by nothing is that of a request which is still being carried out.
            let is_open = error.is_unanswered() || error.is(Code::AlreadyExists);
            if !(is_open && patience.wait().await) {
                return Err(error);
            }
        }
    }

    async fn start_once(&self, id: &str, patience: &mut RuntimePatience) -> Result<(), CallError> {
        let mut was_lost = false;
        loop {
            let request = v1::StartContainerRequest { container_id: id.to_owned() };
            let mut client = self.run.connection.runtime.clone();
            let started = call("StartContainer", CHANGE, client.start_container(request)).await;
            let Err(error) = started else { return Ok(()) };
            was_lost |= error.is_unanswered();
            if !was_lost {
                return Err(error);
            }
            match self.lost_start(id, patience).await? {
                LostStart::Done => return Ok(()),
                LostStart::Failed(error) => return Err(error),
                LostStart::Open if patience.again(&error).await => {}
                LostStart::Open => return Err(error),
            }
        }
    }

    async fn lost_start(&self, id: &str, patience: &mut RuntimePatience) -> Result<LostStart, CallError> {
        let look = async || {
            let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
            let mut client = self.run.connection.runtime.clone();
            call("ContainerStatus", QUICK, client.container_status(request)).await
        };
        let status = patience.ask(look).await?.status.unwrap_or_default();
        Ok(match status.state() {
            v1::ContainerState::ContainerRunning => LostStart::Done,
            v1::ContainerState::ContainerExited if status.started_at > 0 => LostStart::Done,
            v1::ContainerState::ContainerExited => {
                let status = Status::unknown(format!("{}: {}", status.reason, status.message));
                LostStart::Failed(CallError::Refused { rpc: "StartContainer", status: Box::new(status) })
            }
            v1::ContainerState::ContainerCreated | v1::ContainerState::ContainerUnknown => LostStart::Open,
        })
    }

    /// The pod's containers of these names and attempts, as this `peapod run` made them.
    async fn attempts(
        &self,
        patience: &mut RuntimePatience,
        is_wanted: impl Fn(&v1::ContainerMetadata) -> bool,
    ) -> Result<Vec<v1::Container>, CallError> {
        let list = patience.ask(async || teardown::containers(self.run.connection, &self.sandbox_id).await).await?;
        let is_own = |container: &v1::Container| {
            container.labels.get(labels::UID) == Some(&self.run.uid)
                && container.metadata.as_ref().is_some_and(&is_wanted)
        };
        Ok(list.into_iter().filter(is_own).collect())
    }
}
