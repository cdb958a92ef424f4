//! `peapod down`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_api::v1;

use crate::cli::DownArgs;
use crate::connect::CriClient;
use crate::targets::{self, FoundPods, Targets};
use crate::{runs, select};

/// Stops pods within their grace, the containers of each at the same time, and removes them with what was kept for
/// them. What runs is stopped at the same time, so that the longest grace is all that it takes. A `peapod run` whose
/// pods these all are ends with them.
pub(crate) async fn down(connection: &CriClient, args: &DownArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all };
    let found = targets::find(connection, named, targets::is_of_run).await?;
    let bases = super::bases(&found.pods);
    let ending = whole_runs(connection, &found).await?;
    for (base, id) in &ending {
        // So that it starts none of them again, and waits for no change of a file.
        if let Some(run) = runs::known(base, id).filter(|run| run.lives) {
            // It may have ended this moment.
            let _ = kill(Pid::from_raw(run.pid), Signal::SIGTERM);
        }
    }
    let each = found.pods.iter().map(|pod| one(connection, pod, args.grace));
    let ended = futures_util::future::join_all(each).await;
    for (base, id) in &ending {
        runs::ended(base, id).await;
    }
    let errors = ended.into_iter().filter_map(|ended| Some(format!("{:#}", ended.err()?)));
    let errors = errors.collect();
    super::sweep(connection, bases).await?;
    found.conclude(errors)
}

/// The runs of which no other pods are there.
async fn whole_runs(connection: &CriClient, found: &FoundPods) -> anyhow::Result<BTreeSet<(PathBuf, String)>> {
    let mut whole: BTreeSet<_> = found.pods.iter().filter_map(targets::run_of).collect();
    if !whole.is_empty() {
        for other in select::pods(connection).await? {
            if let Some(run) = targets::run_of(&other).filter(|_| !found.pods.iter().any(|pod| pod.id == other.id)) {
                whole.remove(&run);
            }
        }
    }
    Ok(whole)
}

/// Ends one pod.
pub(super) async fn one(connection: &CriClient, pod: &v1::PodSandbox, grace: Option<u32>) -> anyhow::Result<()> {
    // Also one that has stopped: it may have left something.
    super::stop::end(connection, pod, grace).await?;
    super::rm::remove(connection, pod).await?;
    Ok(super::print(format!("{}\n", select::pod_name(pod)).as_bytes())?)
}
