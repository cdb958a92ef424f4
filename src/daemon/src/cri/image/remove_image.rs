//! RemoveImage: removes an image with all its names. It is not shown any more when this answers; layers that containers
//! still use stay until these are gone. Unknown images are success.

use peapod_api::v1::{RemoveImageRequest, RemoveImageResponse};

use crate::cri::Services;
use crate::cri::convert::reference;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: RemoveImageRequest) -> Answer<RemoveImageResponse> {
    services.images.remove(&reference(request.image)?).await?;
    Ok(RemoveImageResponse {})
}
