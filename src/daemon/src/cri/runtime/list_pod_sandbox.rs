//! ListPodSandbox: pods that match every part of the filter. The kubelet asks each second; reads memory only.

use std::sync::Arc;

use peapod_api::Encoded;
use peapod_api::v1::{ListPodSandboxRequest, ListPodSandboxResponse, PodSandboxFilter};
use peapod_pod::{PodEntry, Snapshot};

use super::filter::{has_labels, one_or_all};
use crate::cri::Services;
use crate::cri::convert::pod_state;

pub(super) fn handle(services: &Services, request: ListPodSandboxRequest) -> Encoded<ListPodSandboxResponse> {
    let snapshot = services.pods.snapshot();
    let list = services.lists.pods.of(&snapshot);
    match request.filter.filter(|filter| *filter != PodSandboxFilter::default()) {
        None => list.all(),
        Some(filter) => list.some(matching(&snapshot, &filter)),
    }
}

/// Pods that match every part of a filter.
pub(super) fn matching<'s>(
    snapshot: &'s Snapshot,
    filter: &'s PodSandboxFilter,
) -> impl Iterator<Item = &'s Arc<PodEntry>> {
    one_or_all(&filter.id, || snapshot.find_pod(&filter.id), || snapshot.pods())
        .into_iter()
        .filter(|entry| filter.state.is_none_or(|wanted| i32::from(pod_state(entry.pod.state)) == wanted.state))
        .filter(|entry| has_labels(&entry.pod.spec.labels, &filter.label_selector))
}
