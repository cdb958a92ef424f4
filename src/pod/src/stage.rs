//! Where the time of a call goes: each step says in the log how long it took, and each job what it waits for.
//!
//! The lines have a target of their own, so that they can be had alone: `--log-level info,peapod_stage=debug`. The
//! bench (`make bench`) makes its table of stages from them and from the lines in the shims' logs.

use std::time::Instant;

use tokio::sync::watch;

/// Target of the lines.
const TARGET: &str = "peapod_stage";

/// Waits for a step and says how long that took.
pub(crate) async fn timed<T>(stage: &'static str, step: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let outcome = step.await;
    let us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(target: TARGET, stage, us);
    outcome
}

/// What a job waits for, as it says itself: it has this, and nobody else.
#[derive(Debug)]
pub(crate) struct JobStage(watch::Sender<&'static str>);

impl JobStage {
    /// Of a job that begins, with where others read it.
    pub(crate) fn new(first: &'static str) -> (Self, watch::Receiver<&'static str>) {
        let (sender, receiver) = watch::channel(first);
        (Self(sender), receiver)
    }

    /// The job comes to another stage.
    pub(crate) fn is(&self, stage: &'static str) {
        self.0.send_replace(stage);
    }
}
