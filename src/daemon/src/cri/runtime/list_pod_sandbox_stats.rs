//! ListPodSandboxStats: what each READY pod uses that matches every part of the filter.

use std::sync::Arc;

use peapod_api::v1::{ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStats, PodSandboxStatsFilter};
use peapod_pod::{PodEntry, PodState};

use super::filter::{has_labels, one_or_all};
use crate::cri::Services;
use crate::cri::blocking::blocking;
use crate::cri::convert::pod_stats;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: ListPodSandboxStatsRequest,
) -> Answer<ListPodSandboxStatsResponse> {
    let pods = matching(services, request.filter);
    let read = reader(services);
    let stats = blocking("statistics", move || pods.iter().map(read).collect()).await?;
    Ok(ListPodSandboxStatsResponse { stats })
}

/// READY pods that match every part of a filter.
pub(super) fn matching(services: &Services, filter: Option<PodSandboxStatsFilter>) -> Vec<Arc<PodEntry>> {
    let filter = filter.unwrap_or_default();
    let snapshot = services.pods.snapshot();
    one_or_all(&filter.id, || snapshot.find_pod(&filter.id), || snapshot.pods())
        .into_iter()
        .filter(|entry| entry.pod.state == PodState::Ready)
        .filter(|entry| has_labels(&entry.pod.spec.labels, &filter.label_selector))
        .cloned()
        .collect()
}

/// Reads what a pod uses. Blocks.
pub(super) fn reader(services: &Services) -> impl Fn(&Arc<PodEntry>) -> PodSandboxStats + Clone + Send + 'static {
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    move |entry| pod_stats(entry, sources.pod(entry), &mountpoint)
}
