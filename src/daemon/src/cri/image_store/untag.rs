//! Untag: takes one name from an image that has others, which CRI has no call for.

use peapod_api::own::{UntagRequest, UntagResponse};

use crate::cri::Services;
use crate::cri::convert::image_name;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: UntagRequest) -> Answer<UntagResponse> {
    let name = image_name("image", request.image)?;
    let untagged = services.images.names().untag(&name).await?;
    if let Some(tag) = &untagged {
        tracing::info!(%tag, "a name was taken from an image");
    }
    Ok(UntagResponse { untagged: untagged.unwrap_or_default() })
}
