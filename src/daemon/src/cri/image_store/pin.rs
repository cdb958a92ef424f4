//! Pin: whether garbage collection leaves an image alone, which CRI shows of each image and has no call to change.

use peapod_api::own::{PinRequest, PinResponse};

use crate::cri::Services;
use crate::cri::convert::image_name;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: PinRequest) -> Answer<PinResponse> {
    let name = image_name("image", request.image)?;
    let image = match request.pinned {
        true => services.images.names().pin(&name).await?,
        false => services.images.names().unpin(&name).await?,
    };
    tracing::info!(id = %image.id, pinned = image.pinned, "an image was pinned or unpinned");
    Ok(PinResponse { id: image.id.to_string(), names: image.repo_tags.clone(), pinned: image.pinned })
}
