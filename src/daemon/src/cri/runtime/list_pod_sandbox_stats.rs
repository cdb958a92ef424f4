//! ListPodSandboxStats: what each READY pod uses that matches every part of the filter.

use peapod_api::v1::{ListPodSandboxStatsRequest, ListPodSandboxStatsResponse};
use peapod_pod::PodState;

use super::blocking::blocking;
use super::filter::{has_labels, one_or_all};
use crate::cri::Node;
use crate::cri::stats::Sources;
use crate::cri::status::Answer;

pub(super) async fn handle(node: &Node, request: ListPodSandboxStatsRequest) -> Answer<ListPodSandboxStatsResponse> {
    let filter = request.filter.unwrap_or_default();
    let snapshot = node.pods.snapshot();
    let pods: Vec<_> = one_or_all(&filter.id, || snapshot.find_pod(&filter.id), || snapshot.pods())
        .into_iter()
        .filter(|entry| entry.pod.state == PodState::Ready)
        .filter(|entry| has_labels(&entry.pod.spec.labels, &filter.label_selector))
        .cloned()
        .collect();
    let sources = Sources::of(node);
    let stats = blocking("statistics", move || pods.iter().map(|entry| sources.pod(entry)).collect()).await?;
    Ok(ListPodSandboxStatsResponse { stats })
}
