//! ContainerStats: what one container uses. One that doesn't run uses disk only.

use peapod_api::v1::{ContainerStatsRequest, ContainerStatsResponse};

use crate::cri::Services;
use crate::cri::blocking::blocking;
use crate::cri::convert::{container_stats, not_empty};
use crate::cri::services::find_container;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: ContainerStatsRequest) -> Answer<ContainerStatsResponse> {
    let id = not_empty("container_id", request.container_id)?;
    let container = find_container(&services.pods.snapshot(), &id)?.1.clone();
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    let read = move || container_stats(&container, sources.container(&container), &mountpoint);
    let stats = blocking("statistics", read).await?;
    Ok(ContainerStatsResponse { stats: Some(stats) })
}
