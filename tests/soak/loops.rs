//! Clients that make and end pods and containers without pause.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use peapod_tests::{Daemon, Pod};

use crate::call_log::CallLog;
use crate::options::Options;

/// Runs all loops for a time. Each ends with what it has begun.
pub(crate) async fn run(daemon: &Daemon, stay: &[Pod<'_>], options: &Options, time: Duration, log: &CallLog) {
    let end = Instant::now() + time;
    join_all((0..options.loops).map(async |number| {
        let mut round = 0;
        while Instant::now() < end {
            // Every other client gives up too early, some before the work is done, some in the moment of the answer.
            let spread = u64::try_from((number * 7 + round * 13) % 97).unwrap_or(0);
            let timeout = (round % 2 == 1).then(|| Duration::from_micros(500 + 400 * spread));
            match stay.get(number) {
                Some(pod) if number % 2 == 1 => container(pod, timeout, log).await,
                _ => pod(daemon, &format!("loop-{number}"), timeout, log).await,
            };
            round += 1;
        }
    }))
    .await;
}

/// The life of a pod with one container, under a name that the one before had.
async fn pod(daemon: &Daemon, name: &str, timeout: Option<Duration>, log: &CallLog) -> Option<()> {
    let builder = daemon.pod(name);
    let pod = log.ask("RunPodSandbox", timeout, || builder.clone().try_run()).await?;
    container(&pod, timeout, log).await;
    log.ask("StopPodSandbox", timeout, || pod.stop()).await;
    log.ask("RemovePodSandbox", timeout, || pod.remove()).await
}

/// The life of a container.
async fn container(pod: &Pod<'_>, timeout: Option<Duration>, log: &CallLog) -> Option<()> {
    let builder = pod.container("loop").command(&["sleep", "1000000"]);
    let container = log.ask("CreateContainer", timeout, || builder.clone().try_create()).await?;
    log.ask("StartContainer", timeout, || container.start()).await;
    log.ask("ContainerStatus", None, || container.try_status()).await;
    log.ask("StopContainer", timeout, || container.stop(0)).await;
    log.ask("RemoveContainer", timeout, || container.remove()).await
}
