//! StreamImages: ListImages in pages, all of one moment, with all their annotations.

use peapod_api::v1::{StreamImagesRequest, StreamImagesResponse};

use super::list_images::matching;
use crate::cri::Services;
use crate::cri::call::AnswerStream;
use crate::cri::convert::image;
use crate::cri::pages;
use crate::cri::status::Answer;

pub(super) fn handle(services: &Services, request: StreamImagesRequest) -> Answer<AnswerStream<StreamImagesResponse>> {
    let place = services.places.list_streams.take()?;
    let images = matching(services, request.filter).into_iter().map(|found| image(&found));
    Ok(pages::from_memory(place, images, |images| StreamImagesResponse { images }))
}
