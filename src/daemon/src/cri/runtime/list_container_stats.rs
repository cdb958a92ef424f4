//! ListContainerStats: what each running container uses that matches every part of the filter.

use std::sync::Arc;

use peapod_api::v1::{ContainerStats, ContainerStatsFilter, ListContainerStatsRequest, ListContainerStatsResponse};
use peapod_pod::ContainerView;

use super::filter::has_labels;
use super::list_containers::in_scope;
use crate::cri::Services;
use crate::cri::blocking::blocking;
use crate::cri::convert::container_stats;
use crate::cri::status::Answer;
use crate::stats::is_running;

pub(super) async fn handle(
    services: &Services,
    request: ListContainerStatsRequest,
) -> Answer<ListContainerStatsResponse> {
    let containers = matching(services, request.filter);
    let read = reader(services);
    let stats = blocking("statistics", move || containers.iter().map(read).collect()).await?;
    Ok(ListContainerStatsResponse { stats })
}

/// Running containers that match every part of a filter.
pub(super) fn matching(services: &Services, filter: Option<ContainerStatsFilter>) -> Vec<Arc<ContainerView>> {
    let filter = filter.unwrap_or_default();
    in_scope(&services.pods.snapshot(), &filter.id, &filter.pod_sandbox_id)
        .into_iter()
        .filter(|view| is_running(view) && has_labels(&view.spec.labels, &filter.label_selector))
        .cloned()
        .collect()
}

/// Reads what a container uses. Blocks.
pub(super) fn reader(services: &Services) -> impl Fn(&Arc<ContainerView>) -> ContainerStats + Clone + Send + 'static {
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    move |view| container_stats(view, sources.container(view), &mountpoint)
}
