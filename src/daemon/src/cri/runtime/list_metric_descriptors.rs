//! ListMetricDescriptors: which metrics this node can tell. A kubelet asks once, at its start: the answer never
//! changes.

use peapod_api::v1::{ListMetricDescriptorsRequest, ListMetricDescriptorsResponse};

use crate::cri::Services;
use crate::cri::convert::metric_descriptors;

pub(super) fn handle(services: &Services, _: ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse {
    ListMetricDescriptorsResponse { descriptors: metric_descriptors(services.stats.groups.hierarchy()) }
}
