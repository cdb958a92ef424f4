//! The ImageService: each method is one line that leads to the file of its call.

mod image_fs_info;
mod image_status;
mod list_images;
mod pull_image;
mod remove_image;

use std::sync::Arc;

use peapod_api::v1::image_service_server::ImageService;
use peapod_api::v1::{
    ImageFsInfoRequest, ImageFsInfoResponse, ImageStatusRequest, ImageStatusResponse, ListImagesRequest,
    ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest, RemoveImageResponse,
    StreamImagesRequest, StreamImagesResponse,
};
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use super::call::{answer, service, unimplemented};
use super::{Node, fit};

/// Calls about images.
pub(crate) struct ImageCalls(pub(crate) Arc<Node>);

service! {
    impl ImageService for ImageCalls;

    calls {
        ListImages list_images(ListImagesRequest) -> ListImagesResponse:
            |node, request| Ok(fit::images(node, list_images::handle(node, request)));
        ImageStatus image_status(ImageStatusRequest) -> ImageStatusResponse:
            |node, request| fit::answer(node, image_status::handle(node, request).await);
        PullImage pull_image(PullImageRequest) -> PullImageResponse:
            |node, request| pull_image::handle(node, request).await;
        RemoveImage remove_image(RemoveImageRequest) -> RemoveImageResponse:
            |node, request| remove_image::handle(node, request).await;
        ImageFsInfo image_fs_info(ImageFsInfoRequest) -> ImageFsInfoResponse:
            |node, request| image_fs_info::handle(node, request).await;
    }

    unimplemented {}

    unimplemented streams {
        StreamImages stream_images(StreamImagesRequest) -> StreamImagesStream of StreamImagesResponse;
    }
}
