//! ListImages: all images, or the one that the filter's reference means. Reads memory only.

use peapod_api::v1::{ListImagesRequest, ListImagesResponse};

use crate::cri::Services;
use crate::cri::convert::image;

pub(super) fn handle(services: &Services, request: ListImagesRequest) -> ListImagesResponse {
    let reference = request.filter.and_then(|filter| filter.image).unwrap_or_default().image;
    let images = if reference.is_empty() {
        services.images.list().iter().map(|found| image(found)).collect()
    } else {
        services.images.resolve(&reference).iter().map(|found| image(found)).collect()
    };
    ListImagesResponse { images }
}
