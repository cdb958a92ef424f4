//! PodSandboxStats: what one pod uses.

use peapod_api::v1::{PodSandboxStatsRequest, PodSandboxStatsResponse};

use crate::cri::Services;
use crate::cri::blocking::blocking;
use crate::cri::convert::{not_empty, pod_stats};
use crate::cri::services::find_pod;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: PodSandboxStatsRequest) -> Answer<PodSandboxStatsResponse> {
    let id = not_empty("pod_sandbox_id", request.pod_sandbox_id)?;
    let pod = find_pod(&services.pods.snapshot(), &id)?.clone();
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    let stats = blocking("statistics", move || pod_stats(&pod, sources.pod(&pod), &mountpoint)).await?;
    Ok(PodSandboxStatsResponse { stats: Some(stats) })
}
