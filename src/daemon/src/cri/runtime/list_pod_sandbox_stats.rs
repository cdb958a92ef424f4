//! ListPodSandboxStats: what each READY pod uses that matches every part of the filter.

use peapod_api::v1::{ListPodSandboxStatsRequest, ListPodSandboxStatsResponse};
use peapod_pod::PodState;

use super::blocking::blocking;
use super::filter::{has_labels, one_or_all};
use crate::cri::Services;
use crate::cri::convert::pod_stats;
use crate::cri::status::Answer;

pub(super) async fn handle(
    services: &Services,
    request: ListPodSandboxStatsRequest,
) -> Answer<ListPodSandboxStatsResponse> {
    let filter = request.filter.unwrap_or_default();
    let snapshot = services.pods.snapshot();
    let pods: Vec<_> = one_or_all(&filter.id, || snapshot.find_pod(&filter.id), || snapshot.pods())
        .into_iter()
        .filter(|entry| entry.pod.state == PodState::Ready)
        .filter(|entry| has_labels(&entry.pod.spec.labels, &filter.label_selector))
        .cloned()
        .collect();
    let (sources, mountpoint) = (services.stats.clone(), services.config.state_root.clone());
    let read = move || pods.iter().map(|entry| pod_stats(entry, sources.pod(entry), &mountpoint)).collect();
    let stats = blocking("statistics", read).await?;
    Ok(ListPodSandboxStatsResponse { stats })
}
