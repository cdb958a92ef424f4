//! Where the time of a call goes: each step says in the log how long it took.
//!
//! The lines have a target of their own, so that they can be had alone: `--log-level info,peapod_stage=debug`. The
//! bench (`make bench`) makes its table of stages from them and from the lines in the shims' logs.

use std::time::Instant;

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
