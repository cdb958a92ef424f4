//! `peapod stop`.

use peapod_api::v1;

use super::ending;
use crate::cli::StopArgs;
use crate::connect::CriClient;
use crate::select;
use crate::targets::{self, FoundPods, FoundRun, Targets};

/// Stops pods at the same time, as the containers of each. What makes pods, if that was named, makes no others.
pub(crate) async fn stop(connection: &CriClient, args: &StopArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all, ..Targets::default() };
    let is_one = |pod: &v1::PodSandbox| targets::is_of_run(pod) && targets::is_ready(pod);
    let mut found = targets::find(connection, named, is_one).await?;
    let known: Vec<_> = found.pods.iter().chain(&found.being_made).cloned().collect();
    // A Pod by itself is not started again by who looks after it, and may be wanted by a later change.
    let makes_others = |run: &FoundRun| run.wanted.iter().any(|workload| workload.kind != "Pod");
    found.runs.retain(|run| makes_others(run) || !known.iter().any(|pod| run.has(pod)));
    let bases = super::bases(&found);
    ending::warn_of_new_ones(&found)?;
    let end = async |pod: v1::PodSandbox| {
        ending::stop(connection, &pod, args.grace).await?;
        Ok(super::print(format!("{}\n", select::pod_name(&pod)).as_bytes())?)
    };
    let errors = ending::end_all(connection, &found, args.grace, targets::is_ready, end).await?;
    super::sweep(connection, bases).await?;
    found.conclude_strictly(errors)
}

/// Does the same with each pod, and goes on after an error.
pub(super) async fn each(
    found: &FoundPods,
    mut work: impl AsyncFnMut(&v1::PodSandbox) -> anyhow::Result<()>,
) -> Vec<String> {
    let mut errors = Vec::new();
    for pod in &found.pods {
        errors.extend(work(pod).await.err().map(|error| format!("{error:#}")));
    }
    errors
}
