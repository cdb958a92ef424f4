//! ListContainerStats: what each running container uses that matches every part of the filter.

use peapod_api::v1::{ListContainerStatsRequest, ListContainerStatsResponse};

use super::blocking::blocking;
use super::filter::has_labels;
use super::list_containers::in_scope;
use crate::cri::Services;
use crate::cri::convert::container_stats;
use crate::cri::status::Answer;
use crate::stats::is_running;

pub(super) async fn handle(
    services: &Services,
    request: ListContainerStatsRequest,
) -> Answer<ListContainerStatsResponse> {
    let filter = request.filter.unwrap_or_default();
    let containers: Vec<_> = in_scope(&services.pods.snapshot(), &filter.id, &filter.pod_sandbox_id)
        .into_iter()
        .filter(|view| is_running(view) && has_labels(&view.spec.labels, &filter.label_selector))
        .cloned()
        .collect();
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    let read = move || {
        let stats = containers.iter().map(|view| container_stats(view, sources.container(view), &mountpoint));
        stats.collect()
    };
    let stats = blocking("statistics", read).await?;
    Ok(ListContainerStatsResponse { stats })
}
