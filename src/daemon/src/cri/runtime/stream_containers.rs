//! StreamContainers: ListContainers in pages, all of one moment.

use peapod_api::v1::{StreamContainersRequest, StreamContainersResponse};

use super::list_containers::matching;
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::container;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) fn handle(
    services: &Services,
    request: StreamContainersRequest,
) -> Answer<AnswerStream<StreamContainersResponse>> {
    let place = services.places.list_streams.take()?;
    let filter = request.filter.unwrap_or_default();
    let containers: Vec<_> = matching(&services.pods.snapshot(), &filter).cloned().collect();
    let containers = containers.into_iter().map(|view| container(&view));
    Ok(pages::from_memory(place, containers, |containers| StreamContainersResponse { containers }))
}
