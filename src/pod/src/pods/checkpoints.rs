//! Checkpoints of running containers. They change nothing that is recorded, so they ask no pod's machine.

use peapod_trace::Span;

use super::{Pods, about};
use crate::checkpoint::{self, CheckpointRequest, ContainerCapture, PodCheckpointRequest};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::stages;

impl Pods {
    /// Writes a running container into an archive; it runs on. Dropping the future takes that back.
    ///
    /// # Errors
    /// When it does not run, this node can't do it, or it takes too long. Then nothing of it is left, and it runs on.
    pub async fn checkpoint_container(
        &self,
        id: &ContainerId,
        request: &CheckpointRequest,
        span: &Span,
    ) -> Result<(), Error> {
        span.enter(&stages::RECOVERY);
        let (shim, container) = self.running(id).await?;
        span.about(|subject| about(subject, None, Some(&container)));
        let snapshot = self.snapshot();
        let pod = &snapshot.pod(&container.pod).ok_or_else(|| Error::no_container(id.as_str()))?.pod;
        let (containers, leftovers) = (&self.actors.containers, &self.leftovers);
        let closing = self.closing.subscribe();
        checkpoint::capture(ContainerCapture { containers, leftovers, closing, shim, pod, container, span }, request)
            .await
    }

    /// Writes running containers of a pod into a folder, all as of one moment; they run on. Dropping the future takes
    /// that back.
    ///
    /// # Errors
    /// As [`Pods::checkpoint_container`].
    pub async fn checkpoint_pod(&self, id: &PodId, request: &PodCheckpointRequest, span: &Span) -> Result<(), Error> {
        span.enter(&stages::RECOVERY);
        drop(self.actor_for(id, span)?);
        let snapshot = self.snapshot();
        let pod = &snapshot.pod(id).ok_or_else(|| Error::no_pod(id.as_str()))?.pod;
        let (containers, leftovers) = (&self.actors.containers, &self.leftovers);
        let mut captures = Vec::with_capacity(request.containers.len());
        for id in &request.containers {
            let (shim, container) = self.running(id).await?;
            captures.push(ContainerCapture {
                containers,
                leftovers,
                closing: self.closing.subscribe(),
                shim,
                pod,
                container,
                span,
            });
        }
        checkpoint::capture_pod(&captures, request).await
    }
}
