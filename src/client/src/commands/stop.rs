//! `peapod stop`.

use crate::cli::StopArgs;
use crate::connect::CriClient;
use crate::run::{self, PodDir};
use crate::{labels, select, teardown};

/// Kubernetes' own default.
const GRACE: u32 = 30;

/// Stops pods one after the other, the containers of each at the same time.
pub(crate) async fn stop(connection: &CriClient, args: &StopArgs) -> anyhow::Result<()> {
    super::each(&args.pods, async |wanted: &str| {
        let pod = select::pod(connection, wanted).await?;
        let grace = match args.grace {
            Some(grace) => grace,
            None => own_grace(connection, &pod.id).await?,
        };
        if let Some(dir) = PodDir::of(&pod) {
            dir.announce_stop();
            run::ask_to_stop(&dir, grace).await;
        }
        super::all_of(wanted, &teardown::stop(connection, &pod.id, grace).await)?;
        Ok(super::print(format!("{}\n", select::pod_name(&pod)).as_bytes())?)
    })
    .await
}

/// What the pod's manifest said, which its containers remember.
async fn own_grace(connection: &CriClient, pod: &str) -> anyhow::Result<u32> {
    let containers = teardown::containers(connection, pod).await?;
    let said = containers.iter().filter_map(|container| container.annotations.get(labels::GRACE)?.parse().ok());
    Ok(said.max().unwrap_or(GRACE))
}
