//! ListImages: all images, or the one that the filter's reference means. Reads memory only.

use std::sync::Arc;

use peapod_api::v1::{ImageFilter, ListImagesRequest, ListImagesResponse};
use peapod_image::Image;

use crate::cri::Services;
use crate::cri::convert::image;

pub(super) fn handle(services: &Services, request: ListImagesRequest) -> ListImagesResponse {
    let images = matching(services, request.filter).iter().map(|found| image(found)).collect();
    ListImagesResponse { images }
}

/// Images that a filter leaves.
pub(super) fn matching(services: &Services, filter: Option<ImageFilter>) -> Vec<Arc<Image>> {
    let reference = filter.and_then(|filter| filter.image).unwrap_or_default().image;
    if reference.is_empty() {
        services.images.list().to_vec()
    } else {
        services.images.resolve(&reference).into_iter().collect()
    }
}
