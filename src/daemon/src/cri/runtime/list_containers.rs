//! ListContainers: containers, in any state, that match every part of the filter. Reads memory only.

use std::sync::Arc;

use peapod_api::Encoded;
use peapod_api::v1::{ContainerFilter, ListContainersRequest, ListContainersResponse};
use peapod_pod::{ContainerView, Resolved, Snapshot};

use super::filter::{has_labels, one_or_all};
use crate::cri::Services;
use crate::cri::convert::container_state;

pub(super) fn handle(services: &Services, request: ListContainersRequest) -> Encoded<ListContainersResponse> {
    let snapshot = services.pods.snapshot();
    let list = services.lists.containers.of(&snapshot);
    match request.filter.filter(|filter| *filter != ContainerFilter::default()) {
        None => list.all(),
        Some(filter) => list.some(matching(&snapshot, &filter)),
    }
}

/// Containers that match every part of a filter.
pub(super) fn matching<'s>(
    snapshot: &'s Snapshot,
    filter: &'s ContainerFilter,
) -> impl Iterator<Item = &'s Arc<ContainerView>> {
    in_scope(snapshot, &filter.id, &filter.pod_sandbox_id)
        .into_iter()
        .filter(|view| filter.state.is_none_or(|wanted| i32::from(container_state(&view.state)) == wanted.state))
        .filter(|view| has_labels(&view.spec.labels, &filter.label_selector))
}

/// Containers that an id and a pod's id, or their beginnings, leave.
pub(super) fn in_scope<'s>(snapshot: &'s Snapshot, id: &str, pod: &str) -> Vec<&'s Arc<ContainerView>> {
    let find = || match snapshot.find_container(id) {
        Resolved::One((_, view)) => Resolved::One(view),
        Resolved::Unknown => Resolved::Unknown,
        Resolved::Ambiguous => Resolved::Ambiguous,
    };
    let mut views = one_or_all(id, find, || snapshot.containers());
    if !pod.is_empty() {
        match snapshot.find_pod(pod) {
            Resolved::One(entry) => views.retain(|view| view.pod == entry.pod.id),
            Resolved::Unknown | Resolved::Ambiguous => views.clear(),
        }
    }
    views
}
