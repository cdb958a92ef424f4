//! Clients that make and end pods and containers without pause.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use peapod_tests::{Daemon, Pod};

use crate::book::Book;
use crate::options::Options;

/// Runs all loops for a time. Each ends with what it has begun.
pub(crate) async fn run(daemon: &Daemon, stay: &[Pod<'_>], options: &Options, time: Duration, book: &Book) {
    let end = Instant::now() + time;
    join_all((0..options.loops).map(async |number| {
        let mut round = 0;
        while Instant::now() < end {
            // Every other client gives up too early, some before the work is done, some in the moment of the answer.
            let spread = u64::try_from((number * 7 + round * 13) % 97).unwrap_or(0);
            let timeout = (round % 2 == 1).then(|| Duration::from_micros(500 + 400 * spread));
            match stay.get(number) {
                Some(pod) if number % 2 == 1 => container(pod, timeout, book).await,
                _ => pod(daemon, &format!("loop-{number}"), timeout, book).await,
            };
            round += 1;
        }
    }))
    .await;
}

/// The life of a pod with one container, under a name that the one before had.
async fn pod(daemon: &Daemon, name: &str, timeout: Option<Duration>, book: &Book) -> Option<()> {
    let builder = daemon.pod(name);
    let pod = book.ask("RunPodSandbox", timeout, || builder.clone().try_run()).await?;
    container(&pod, timeout, book).await;
    book.ask("StopPodSandbox", timeout, || pod.stop()).await;
    book.ask("RemovePodSandbox", timeout, || pod.remove()).await
}

/// The life of a container.
async fn container(pod: &Pod<'_>, timeout: Option<Duration>, book: &Book) -> Option<()> {
    let builder = pod.container("loop").command(&["sleep", "1000000"]);
    let container = book.ask("CreateContainer", timeout, || builder.clone().try_create()).await?;
    book.ask("StartContainer", timeout, || container.start()).await;
    book.ask("ContainerStatus", None, || container.try_status()).await;
    book.ask("StopContainer", timeout, || container.stop(0)).await;
    book.ask("RemoveContainer", timeout, || container.remove()).await
}
