//! Pods that are made of a checkpoint, with all their containers or not at all.

use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_text::excerpt;
use peapod_trace::Span;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Pods;
use crate::actor::Handle;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::machine::Request;

impl Pods {
    /// Makes a pod and its containers, which are answered in their order. A retry with equal specs goes on with what is
    /// there of them, as those of [`Pods::run_pod`] and [`Pods::create_container`] do. Dropping the future takes back
    /// what it has made.
    ///
    /// # Errors
    /// After one nothing is left that this call has made.
    pub async fn restore_pod(
        &self,
        spec: PodSpec,
        containers: Vec<ContainerSpec>,
        span: &Span,
    ) -> Result<(PodId, Vec<ContainerId>), Error> {
        let (id, unfinished) = match self.twin(&spec, &containers)? {
            Some(id) => (id, None),
            None => self.run_with(spec, span, |handle| UnfinishedPod::of(self, handle)).await?,
        };
        match self.create_all(&id, containers, span).await {
            Ok(created) => {
                unfinished.into_iter().for_each(UnfinishedPod::finish);
                Ok((id, created))
            }
            Err(error) => {
                if let Some(unfinished) = unfinished {
                    unfinished.take_back().await;
                }
                Err(error)
            }
        }
    }

    async fn create_all(
        &self,
        pod: &PodId,
        containers: Vec<ContainerSpec>,
        span: &Span,
    ) -> Result<Vec<ContainerId>, Error> {
        let mut created = Vec::with_capacity(containers.len());
        for spec in containers {
            created.push(self.create_container(pod, spec, span).await?);
        }
        Ok(created)
    }

    /// A pod that an equal call has made, with containers: its client has not heard of it, or the daemon died.
    fn twin(&self, spec: &PodSpec, containers: &[ContainerSpec]) -> Result<Option<PodId>, Error> {
        let snapshot = self.snapshot();
        let Some(twin) = snapshot.pods().find(|entry| entry.pod.spec.metadata == spec.metadata) else {
            return Ok(None);
        };
        let is_equal = *twin.pod.spec == *spec;
        if is_equal && twin.containers.values().all(|there| containers.contains(&there.spec)) {
            return Ok((!twin.containers.is_empty()).then(|| twin.pod.id.clone()));
        }
        let name = format!("{}/{}", excerpt(&spec.metadata.namespace), excerpt(&spec.metadata.name));
        Err(Error::AlreadyExists { what: "pod sandbox", name, id: twin.pod.id.to_string() })
    }
}

/// A new pod whose containers are not all there, which goes when this is dropped.
struct UnfinishedPod {
    handle: Handle,
    leftovers: TaskTracker,
    /// True once the daemon ends: an equal call goes on with what is there then.
    closing: watch::Receiver<bool>,
    finished: bool,
}

impl UnfinishedPod {
    fn of(pods: &Pods, handle: &Handle) -> Self {
        let (leftovers, closing) = (pods.leftovers.clone(), pods.closing.subscribe());
        Self { handle: handle.clone(), leftovers, closing, finished: false }
    }

    fn finish(mut self) {
        self.finished = true;
    }

    /// Returns when it is gone; who does not wait for that has it removed, too.
    async fn take_back(mut self) {
        self.finished = true;
        let _ = self.remove().await;
    }

    fn remove(&self) -> JoinHandle<()> {
        let (handle, mut closing) = (self.handle.clone(), self.closing.clone());
        self.leftovers.spawn(async move {
            let removed = async {
                let Ok(asked) = handle.send(Request::RemovePod, &Span::default()).await else { return };
                if let Ok(Err(error)) = asked.await {
                    tracing::warn!(pod = handle.id().short(), %error, "a pod that could not be restored stays");
                }
            };
            tokio::select! {
                () = removed => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        })
    }
}

impl Drop for UnfinishedPod {
    fn drop(&mut self) {
        if !self.finished {
            drop(self.remove());
        }
    }
}
