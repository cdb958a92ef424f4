//! StreamContainerStats: ListContainerStats in pages. Which containers are told is decided at the beginning; what they
//! use is read page by page.

use peapod_api::v1::{StreamContainerStatsRequest, StreamContainerStatsResponse};

use super::list_container_stats::{matching, reader};
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) fn handle(
    services: &Services,
    request: StreamContainerStatsRequest,
) -> Answer<AnswerStream<StreamContainerStatsResponse>> {
    let place = services.places.list_streams.take()?;
    let containers = matching(services, request.filter);
    let message = |container_stats| StreamContainerStatsResponse { container_stats };
    Ok(pages::from_files(place, "statistics", containers, reader(services), message))
}
