//! The ImageService: each method is one line that leads to the file of its call.

mod image_fs_info;
mod image_status;
mod list_images;
mod pull_image;
mod remove_image;
mod stream_images;

use std::sync::Arc;

use peapod_api::v1::image_service_server::ImageService;
use peapod_api::v1::{
    ImageFsInfoRequest, ImageFsInfoResponse, ImageStatusRequest, ImageStatusResponse, ListImagesRequest,
    ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest, RemoveImageResponse,
    StreamImagesRequest, StreamImagesResponse,
};
use tonic::{Request, Response, Status};

use super::call::{AnswerStream, Called, answer, begin_stream, service};
use super::{Services, fit};

/// Calls about images.
pub(crate) struct ImageCalls(pub(crate) Arc<Services>);

service! {
    impl ImageService for ImageCalls;

    calls {
        ListImages list_images(ListImagesRequest) -> ListImagesResponse:
            |services, request| Ok(fit::images(services, list_images::handle(services, request)));
        ImageStatus image_status(ImageStatusRequest) -> ImageStatusResponse:
            |services, request| fit::answer(services, image_status::handle(services, request).await);
        PullImage pull_image(PullImageRequest) -> PullImageResponse:
            |services, request, span| pull_image::handle(services, request, span).await;
        RemoveImage remove_image(RemoveImageRequest) -> RemoveImageResponse:
            |services, request, _| remove_image::handle(services, request).await;
        ImageFsInfo image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse:
            |services, request| Ok(image_fs_info::handle(services, request));
    }

    streams {
        StreamImages stream_images(StreamImagesRequest) -> StreamImagesStream of StreamImagesResponse:
            |services, request| stream_images::handle(services, request);
    }
}
