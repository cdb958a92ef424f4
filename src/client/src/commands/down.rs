//! `peapod down`.

use peapod_api::v1;

use super::ending;
use crate::cli::DownArgs;
use crate::connect::CriClient;
use crate::select;
use crate::targets::{self, Targets};

/// Stops pods within their grace, the containers of each at the same time, and removes them with what was kept for
/// them. What runs is stopped at the same time, so that the longest grace is all that it takes. What makes pods ends
/// with them, as does a `peapod run` of which this is all.
pub(crate) async fn down(connection: &CriClient, args: &DownArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all, all_of_a_name: true };
    let mut found = targets::find(connection, named, targets::is_of_run).await?;
    let bases = super::bases(&found);
    ending::warn_of_new_ones(&found)?;
    let end = async |pod: v1::PodSandbox| one(connection, &pod, args.grace).await;
    let errors = ending::end_all(connection, &found, args.grace, |_| true, end).await?;
    super::sweep(connection, bases).await?;
    for nothing in found.nothing() {
        super::note(&format!("peapod: {nothing}\n"))?;
    }
    found.conclude(errors)
}

/// Ends one pod.
pub(super) async fn one(connection: &CriClient, pod: &v1::PodSandbox, grace: Option<u32>) -> anyhow::Result<()> {
    // Also one that has stopped: it may have left something.
    ending::stop(connection, pod, grace).await?;
    super::rm::remove(connection, pod).await?;
    Ok(super::print(format!("{}\n", select::pod_name(pod)).as_bytes())?)
}
