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

use super::call::{answer, unimplemented};
use super::{Node, fit};

/// Calls about images.
pub(crate) struct ImageCalls(pub(crate) Arc<Node>);

#[tonic::async_trait]
impl ImageService for ImageCalls {
    async fn list_images(&self, request: Request<ListImagesRequest>) -> Result<Response<ListImagesResponse>, Status> {
        answer("ListImages", request.into_inner(), async |request| {
            Ok(fit::images(self.0.config.grpc.max_message_bytes, list_images::handle(&self.0, request)))
        })
        .await
    }

    type StreamImagesStream = Empty<Result<StreamImagesResponse, Status>>;

    async fn stream_images(
        &self,
        request: Request<StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        unimplemented("StreamImages", request).await
    }

    async fn image_status(
        &self,
        request: Request<ImageStatusRequest>,
    ) -> Result<Response<ImageStatusResponse>, Status> {
        answer("ImageStatus", request.into_inner(), async |request| {
            let limit = self.0.config.grpc.max_message_bytes;
            image_status::handle(&self.0, request).await.map(|answer| fit::verbose(limit, answer))
        })
        .await
    }

    async fn pull_image(&self, request: Request<PullImageRequest>) -> Result<Response<PullImageResponse>, Status> {
        answer("PullImage", request.into_inner(), async |request| pull_image::handle(&self.0, request).await).await
    }

    async fn remove_image(
        &self,
        request: Request<RemoveImageRequest>,
    ) -> Result<Response<RemoveImageResponse>, Status> {
        answer("RemoveImage", request.into_inner(), async |request| remove_image::handle(&self.0, request).await).await
    }

    async fn image_fs_info(
        &self,
        request: Request<ImageFsInfoRequest>,
    ) -> Result<Response<ImageFsInfoResponse>, Status> {
        answer("ImageFsInfo", request.into_inner(), async |request| image_fs_info::handle(&self.0, request).await).await
    }
}
