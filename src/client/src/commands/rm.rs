//! `peapod rm`.

use peapod_api::v1;

use crate::cli::RmArgs;
use crate::connect::CriClient;
use crate::run::PodDir;
use crate::{select, teardown};

/// Removes pods with their containers, and what `peapod run` kept for them.
pub(crate) async fn rm(connection: &CriClient, args: &RmArgs) -> anyhow::Result<()> {
    super::each(&args.pods, async |wanted: &str| {
        let pod = select::pod(connection, wanted).await?;
        let name = select::pod_name(&pod);
        if pod.state() == v1::PodSandboxState::SandboxReady {
            anyhow::ensure!(args.force, "pod {name} is running: stop it with `peapod stop {wanted}`, or use --force");
            if let Some(dir) = PodDir::of(&pod) {
                dir.announce_stop();
            }
        }
        // Also for one that has stopped: it may have left something.
        super::all_of(wanted, &teardown::stop(connection, &pod.id, 0).await)?;
        super::all_of(wanted, &teardown::remove(connection, &pod.id).await)?;
        if let Some(dir) = PodDir::of(&pod) {
            dir.remove()?;
        }
        Ok(super::print(format!("{name}\n").as_bytes())?)
    })
    .await
}
