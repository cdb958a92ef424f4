//! PullImage: fetches an image, or asks the registry whether these credentials may have it if it is here already. Equal
//! pulls join; a dropped call loses its interest, and the last one cancels the transfer.

use peapod_api::v1::{PullImageRequest, PullImageResponse};
use peapod_image::PullRequest;
use peapod_trace::Span;

use crate::cri::Services;
use crate::cri::convert::{credentials, reference};
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: PullImageRequest, span: &Span) -> Answer<PullImageResponse> {
    let reference = reference(request.image)?;
    let credentials = credentials(request.auth)?;
    let image = services.images.pull(PullRequest { reference, credentials, span: span.clone() }).await?;
    tracing::info!(id = %image.id, "image is here");
    Ok(PullImageResponse { image_ref: image.id.to_string() })
}
