//! What it costs a daemon to be looked at: by who collects metrics, and by a kubelet whose pods do nothing.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::stream::{StreamExt, TryStreamExt};
use tokio::time::{Instant, sleep, sleep_until};

use crate::cri::{Cri, Pod};
use crate::measure::{Plan, WORKERS, timed};
use crate::processes::{ProcessorTime, processor_time};
use crate::results::Results;
use crate::side::Side;

/// Everything that is asked of pods of two containers each, which do nothing.
pub(crate) async fn measure(cri: &Cri, side: &Side, plan: &Plan, pods: &[Pod], results: &mut Results) -> Result<()> {
    let second = |pod| async move {
        let id = cri.create_named(pod, "second", false).await?;
        cri.start(&id).await?;
        anyhow::Ok(id)
    };
    let ids: Vec<_> = futures_util::stream::iter(pods).map(second).buffer_unordered(WORKERS).try_collect().await?;
    let daemon = side.daemon_pid().await?;
    // The first one has counted what has never been counted.
    ensure!(cri.metrics().await? == 2 * pods.len(), "metrics are not of all containers");
    eprintln!("metrics: {}", side.name());
    metrics(cri, daemon, results).await?;
    questions(cri, daemon, results).await?;
    sleep(plan.settle).await;
    eprintln!("at rest: {}", side.name());
    results.share("nobody asks", alone(daemon, plan.rest / 2).await?);
    eprintln!("with a kubelet: {}", side.name());
    results.share("a kubelet, metrics each 10 s", with_kubelet(cri, daemon, plan.rest).await?);
    let remove = |id: String| async move {
        cri.stop(&id).await?;
        cri.remove(&id).await
    };
    futures_util::stream::iter(ids).map(remove).buffer_unordered(WORKERS).try_collect().await
}

/// What metrics of all pods cost on processors. Each time the last sample is too old to be given again.
async fn metrics(cri: &Cri, daemon: u32, results: &mut Results) -> Result<()> {
    const TIMES: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(1100);
    let mut all = ProcessorTime::default();
    for _ in 0..TIMES {
        sleep(PAUSE).await;
        let before = processor_time(daemon)?;
        timed(results, "ListPodSandboxMetrics", cri.metrics()).await?;
        let spent = processor_time(daemon)? - before;
        results.time("ListPodSandboxMetrics, on processors", spent.all);
        all = all + spent;
    }
    // The kernel samples which part it is: too coarse for one call.
    results.time("ListPodSandboxMetrics, in the kernel", all.in_kernel() / TIMES);
    Ok(())
}

/// What each question of a kubelet at rest costs on processors.
async fn questions(cri: &Cri, daemon: u32, results: &mut Results) -> Result<()> {
    const TIMES: u32 = 10;
    const PAUSE: Duration = Duration::from_millis(500);
    for _ in 0..TIMES {
        let mut asked = async |name, question: Pin<Box<dyn Future<Output = Result<()>> + '_>>| {
            sleep(PAUSE).await;
            let before = processor_time(daemon)?;
            question.await?;
            results.time(name, (processor_time(daemon)? - before).all);
            anyhow::Ok(())
        };
        asked("ListPodSandbox, on processors", Box::pin(async { cri.list_pods().await.map(drop) })).await?;
        asked("ListContainers, on processors", Box::pin(async { cri.list_containers().await.map(drop) })).await?;
        asked("ContainerStatus of all, on processors", Box::pin(cri.statuses())).await?;
        asked("ListPodSandboxStats, on processors", Box::pin(cri.pod_stats())).await?;
        asked("Status, on processors", Box::pin(async { cri.is_ready().await.map(drop) })).await?;
        asked("images, on processors", Box::pin(cri.images())).await?;
    }
    Ok(())
}

async fn alone(daemon: u32, time: Duration) -> Result<f64> {
    let before = processor_time(daemon)?;
    sleep(time).await;
    Ok(share(processor_time(daemon)? - before, time))
}

/// The calls of a kubelet at rest: what has changed (each second), whether the runtime is well (5 s), logs that may be
/// too long (10 s), what pods use (10 s), images (30 s); and of who collects metrics (10 s).
async fn with_kubelet(cri: &Cri, daemon: u32, time: Duration) -> Result<f64> {
    let (before, began) = (processor_time(daemon)?, Instant::now());
    for second in 0..time.as_secs() {
        sleep_until(began + Duration::from_secs(second)).await;
        cri.list_pods().await?;
        cri.list_containers().await?;
        if second % 5 == 0 {
            cri.is_ready().await?;
        }
        match second % 10 {
            1 => cri.statuses().await?,
            3 => cri.pod_stats().await?,
            5 => _ = cri.metrics().await?,
            _ => {}
        }
        if second % 30 == 7 {
            cri.images().await?;
        }
    }
    sleep_until(began + time).await;
    Ok(share(processor_time(daemon)? - before, time))
}

fn share(spent: ProcessorTime, of: Duration) -> f64 {
    spent.all.as_secs_f64() / of.as_secs_f64() * 100.0
}
