//! `peapod rm`.

use std::io;

use peapod_api::v1;

use crate::cli::RmArgs;
use crate::connect::CriClient;
use crate::run::PodDir;
use crate::targets::{self, Targets};
use crate::{select, teardown};

/// Removes pods with their containers, and what `peapod run` kept for them.
pub(crate) async fn rm(connection: &CriClient, args: &RmArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all, all_of_a_name: true };
    let is_one = |pod: &v1::PodSandbox| targets::is_of_run(pod) && (args.force || !targets::is_ready(pod));
    let mut found = targets::find(connection, named, is_one).await?;
    let bases = super::bases(&found);
    let kept = found.pods.clone();
    // Of a name that runs again, those are meant that have stopped.
    let has_stopped = |pod: &v1::PodSandbox| {
        let is_twin = |other: &v1::PodSandbox| select::pod_name(other) == select::pod_name(pod);
        kept.iter().any(|other| is_twin(other) && !targets::is_ready(other))
    };
    found.pods.retain(|pod| args.force || !targets::is_ready(pod) || !has_stopped(pod));
    // Who means all means what has stopped.
    for pod in found.being_made.iter().filter(|_| !args.all) {
        let name = select::pod_name(pod);
        found.problems.push(format!("pod {name} is being made: end it with `peapod down {name}`"));
    }
    let errors = super::stop::each(&found, async |pod: &v1::PodSandbox| {
        let name = select::pod_name(pod);
        if targets::is_ready(pod) {
            anyhow::ensure!(args.force, "pod {name} is running: stop it with `peapod stop {name}`, or use --force");
        }
        let _announced = PodDir::of(pod).map(|dir| dir.announce_stop());
        // Also for one that has stopped: it may have left something.
        super::all_of(&name, &teardown::stop(connection, &pod.id, 0).await)?;
        remove(connection, pod).await?;
        Ok(super::print(format!("{name}\n").as_bytes())?)
    })
    .await;
    super::sweep(connection, bases).await?;
    found.conclude_strictly(errors)
}

/// Removes one that has stopped, also while the `peapod run` that made it does the same.
pub(super) async fn remove(connection: &CriClient, pod: &v1::PodSandbox) -> anyhow::Result<()> {
    super::all_of(&select::pod_name(pod), &teardown::remove(connection, &pod.id).await)?;
    let Some(dir) = PodDir::of(pod) else { return Ok(()) };
    // Others are stopped meanwhile, however much there is.
    match tokio::task::spawn_blocking(move || dir.remove()).await? {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
