//! `peapod stop`.

use peapod_api::v1;

use crate::cli::StopArgs;
use crate::connect::CriClient;
use crate::run::{self, PodDir};
use crate::targets::{self, FoundPods, Targets};
use crate::{labels, select, teardown};

/// Kubernetes' own default.
const GRACE: u32 = 30;

/// Stops pods one after the other, the containers of each at the same time.
pub(crate) async fn stop(connection: &CriClient, args: &StopArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all };
    let is_one = |pod: &v1::PodSandbox| targets::is_of_run(pod) && targets::is_ready(pod);
    let found = targets::find(connection, named, is_one).await?;
    let bases = super::bases(&found.pods);
    let errors = each(&found, async |pod: &v1::PodSandbox| {
        end(connection, pod, args.grace).await?;
        Ok(super::print(format!("{}\n", select::pod_name(pod)).as_bytes())?)
    })
    .await;
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

/// Stops one, within the grace that is asked for, or its own.
pub(super) async fn end(connection: &CriClient, pod: &v1::PodSandbox, grace: Option<u32>) -> anyhow::Result<()> {
    let grace = match grace {
        Some(grace) => grace,
        None => own_grace(connection, &pod.id).await?,
    };
    let dir = PodDir::of(pod);
    if let Some(dir) = &dir {
        run::ask_to_stop(dir, grace).await;
    }
    // What is there still nobody stops but this process.
    let _announced = dir.map(|dir| dir.announce_stop());
    super::all_of(&select::pod_name(pod), &teardown::stop(connection, &pod.id, grace).await)
}

/// What the pod's manifest said, which its containers remember.
async fn own_grace(connection: &CriClient, pod: &str) -> anyhow::Result<u32> {
    let containers = teardown::containers(connection, pod).await?;
    let said = containers.iter().filter_map(|container| container.annotations.get(labels::GRACE)?.parse().ok());
    Ok(said.max().unwrap_or(GRACE))
}
