//! CheckImage: what a pull would do, step by step, for `peapod check image`. Nothing is pulled.

use peapod_api::own::{CheckImageRequest, CheckImageResponse, CheckStep};
use peapod_image::{Credentials, InspectedStep, Inspection};

use crate::cri::Services;
use crate::cri::convert::image_name;
use crate::cri::status::Answer;

pub(super) async fn handle(services: &Services, request: CheckImageRequest) -> Answer<CheckImageResponse> {
    let CheckImageRequest { image, username, password } = request;
    let reference = image_name("image", image)?;
    let is_anonymous = username.is_empty() && password.is_empty();
    let credentials = Credentials { username, password, ..Credentials::default() };
    let credentials = (!is_anonymous).then_some(credentials);
    let Inspection { reference, platform, steps, works } = services.images.inspect(&reference, credentials).await?;
    let step = |InspectedStep { what, found, failed }| CheckStep { what, found, failed };
    Ok(CheckImageResponse { reference, platform, steps: steps.into_iter().map(step).collect(), works })
}
