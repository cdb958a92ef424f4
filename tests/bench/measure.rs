//! The measurements, each a walk through calls of a client.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::stream::{StreamExt, TryStreamExt};

use crate::cri::{Cri, Pod};
use crate::processes;
use crate::results::Results;
use crate::side::Side;
use crate::streams;

/// More than one.
pub(crate) const WORKERS: usize = 4;

/// How often everything is done.
pub(crate) struct Plan {
    /// The sides take turns.
    pub(crate) rounds: usize,
    /// Pods of a round whose every call is timed.
    pub(crate) cycles: usize,
    /// Pods made at once, for throughput.
    pub(crate) batch: usize,
    /// Idle pods whose memory is read.
    pub(crate) idle: usize,
    /// Pods in lists and recovery.
    pub(crate) many: usize,
    pub(crate) lists: usize,
    pub(crate) kills: usize,
    /// Streams that are open at once.
    pub(crate) streams: usize,
    /// Rest before memory is read.
    pub(crate) settle: Duration,
    /// How long a kubelet looks after pods that do nothing.
    pub(crate) rest: Duration,
}

pub(crate) async fn timed<T>(
    results: &mut Results,
    name: &'static str,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let began = Instant::now();
    let outcome = call.await?;
    results.time(name, began.elapsed());
    Ok(outcome)
}

/// One pod after the other, from nothing to nothing.
pub(crate) async fn latency(cri: &Cri, cycles: usize, results: &mut Results) -> Result<()> {
    // What is only done once, such as a bridge, is not what a pod costs.
    one_pod(cri, 0, &mut Results::default(), false).await?;
    for cycle in 1..=cycles {
        one_pod(cri, cycle, results, false).await?;
    }
    // The same pod with one PID namespace.
    for cycle in 1..=cycles.div_ceil(3) {
        one_pod(cri, cycles + cycle, results, true).await?;
    }
    Ok(())
}

async fn one_pod(cri: &Cri, number: usize, results: &mut Results, shared: bool) -> Result<()> {
    let name = format!("one-{number}");
    if shared {
        let pod = timed(results, "RunPodSandbox, shared PIDs", cri.run_pod(&name, true)).await?;
        cri.stop_pod(&pod).await?;
        return cri.remove_pod(&pod).await;
    }
    let began = Instant::now();
    let pod = timed(results, "RunPodSandbox", cri.run_pod(&name, false)).await?;
    let create = Instant::now();
    let container = timed(results, "CreateContainer", cri.create(&pod, false)).await?;
    timed(results, "StartContainer", cri.start(&container)).await?;
    results.time("Create+StartContainer", create.elapsed());
    results.time("pod with a container, up", began.elapsed());
    for _ in 0..2 {
        timed(results, "ExecSync", cri.exec(&container)).await?;
        results.time("exec by a stream", streams::command(cri, &container).await?);
    }
    timed(results, "StopContainer", cri.stop(&container)).await?;
    timed(results, "RemoveContainer", cri.remove(&container)).await?;
    timed(results, "StopPodSandbox", cri.stop_pod(&pod)).await?;
    timed(results, "RemovePodSandbox", cri.remove_pod(&pod)).await
}

/// Pods with a container each, made by some workers.
async fn up(cri: &Cri, prefix: &str, pods: std::ops::Range<usize>, workers: usize, shared: bool) -> Result<Vec<Pod>> {
    let one = |number| async move {
        let pod = cri.run_pod(&format!("{prefix}-{number}"), shared).await?;
        let container = cri.create(&pod, shared).await?;
        cri.start(&container).await?;
        Ok(pod)
    };
    futures_util::stream::iter(pods).map(one).buffer_unordered(workers).try_collect().await
}

/// Stops and removes pods with all that is in them.
pub(crate) async fn remove_all(cri: &Cri, pods: Vec<Pod>, workers: usize) -> Result<()> {
    let one = |pod| async move {
        cri.stop_pod(&pod).await?;
        cri.remove_pod(&pod).await
    };
    futures_util::stream::iter(pods).map(one).buffer_unordered(workers).try_collect().await
}

/// How many pods with a container come up and go away in a second.
pub(crate) async fn throughput(cri: &Cri, plan: &Plan, results: &mut Results) -> Result<()> {
    let names = [
        (1, "up, 1 worker", "up and down, 1 worker", "all pods up, 1 worker"),
        (WORKERS, "up, 4 workers", "up and down, 4 workers", "all pods up, 4 workers"),
    ];
    for (workers, rate_up, rate_life, all_up) in names {
        let began = Instant::now();
        let pods = up(cri, "many", 0..plan.batch, workers, false).await?;
        let took = began.elapsed();
        results.time(all_up, took);
        results.rate(rate_up, plan.batch, took);
        remove_all(cri, pods, workers).await?;
        results.rate(rate_life, plan.batch, began.elapsed());
    }
    Ok(())
}

/// Memory of pods that do nothing. They have one PID namespace each, so that nothing that a pod may need is left out.
pub(crate) async fn idle(cri: &Cri, plan: &Plan, side: &Side, results: &mut Results) -> Result<Vec<Pod>> {
    let pods = up(cri, "idle", 0..plan.idle, WORKERS, true).await?;
    tokio::time::sleep(plan.settle).await;
    results.memory = processes::memory(side.daemon_pid().await?)?;
    results.idle_pods = pods.len();
    Ok(pods)
}

/// Lists with many pods; makes those that are still missing.
pub(crate) async fn lists(cri: &Cri, plan: &Plan, pods: &mut Vec<Pod>, results: &mut Results) -> Result<()> {
    pods.extend(up(cri, "list", pods.len()..plan.many, WORKERS, false).await?);
    results.many_pods = pods.len();
    for _ in 0..plan.lists {
        let listed = timed(results, "ListPodSandbox", cri.list_pods()).await?;
        ensure!(listed == pods.len(), "ListPodSandbox shows {listed} ready pods of {}", pods.len());
        let listed = timed(results, "ListContainers", cri.list_containers()).await?;
        ensure!(listed == pods.len(), "ListContainers shows {listed} running containers of {}", pods.len());
    }
    Ok(())
}

/// From kill -9 to the first list that has all pods, with the daemon started again at once.
pub(crate) async fn recovery(side: &mut Side, plan: &Plan, pods: usize, results: &mut Results) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(1);
    const LIMIT: Duration = Duration::from_secs(60);
    for _ in 0..plan.kills {
        side.kill().await?;
        let began = Instant::now();
        side.spawn(false)?;
        let first = loop {
            if let Ok(cri) = side.cri().await
                && let (Ok(ready), Ok(running)) = (cri.list_pods().await, cri.list_containers().await)
            {
                break (ready, running);
            }
            ensure!(began.elapsed() < LIMIT, "no list within {} s after a kill", LIMIT.as_secs());
            tokio::time::sleep(PAUSE).await;
        };
        results.time("kill -9 to the first list", began.elapsed());
        ensure!(first == (pods, pods), "the first list after a kill shows {first:?} pods and containers of {pods}");
    }
    side.wait_ready().await.context("after a kill")
}
