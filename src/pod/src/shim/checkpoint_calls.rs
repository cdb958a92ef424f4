//! Calls to a shim for checkpoints.

use std::path::Path;
use std::time::Duration;

use peapod_shim_protocol::containerd::api;
use peapod_shim_protocol::containerd::ttrpc::context;
use peapod_shim_protocol::{CHECKPOINT_OPTIONS_URL, extension};

use super::ShimError;
use super::calls::{SLOW, Shim, any, call, encode};
use super::task_options::text;
use crate::bounds::CHECKPOINT_TIME_MAX;

/// What a shim does about checkpoints.
pub(crate) struct CheckpointCalls<'a>(pub(crate) &'a Shim);

impl CheckpointCalls<'_> {
    /// Pauses a container and has its processes written into the folder `images`; it stays paused. `work` gets notes.
    pub(crate) async fn checkpoint(
        &self,
        id: &str,
        images: &Path,
        work: &Path,
        limit: Duration,
    ) -> Result<(), ShimError> {
        let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let options = extension::CheckpointOptions { work: text(work), limit_ms, ..Default::default() };
        let request = api::CheckpointTaskRequest {
            id: id.to_owned(),
            path: text(images),
            options: any(CHECKPOINT_OPTIONS_URL, encode(&options)?),
            ..Default::default()
        };
        call!("Checkpoint", limit + SLOW, self.0.inner.task, checkpoint, request).map(drop)
    }

    /// Stops all processes of a container, until it is resumed, or `limit` is over.
    pub(crate) async fn pause(&self, id: &str, limit: Duration) -> Result<(), ShimError> {
        let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        let request = extension::PauseForRequest { container_id: id.to_owned(), limit_ms, ..Default::default() };
        call!("PauseFor", SLOW, self.0.inner.extension, pause_for, request).map(drop)
    }

    /// Lets a paused container go on, when no checkpoint of it is being written any more.
    pub(crate) async fn resume(&self, id: &str) -> Result<(), ShimError> {
        let request = api::ResumeRequest { id: id.to_owned(), ..Default::default() };
        call!("Resume", CHECKPOINT_TIME_MAX + SLOW, self.0.inner.task, resume, request).map(drop)
    }
}
