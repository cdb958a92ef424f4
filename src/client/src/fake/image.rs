//! The images of the fake runtime.

use peapod_api::v1;
use peapod_api::v1::image_service_server::ImageService;
use tonic::{Request, Response, Status};

use super::{Fake, LostCall};

type Answer<T> = Result<Response<T>, Status>;

fn name(image: Option<v1::ImageSpec>) -> String {
    image.unwrap_or_default().image
}

#[tonic::async_trait]
impl ImageService for Fake {
    async fn list_images(&self, _: Request<v1::ListImagesRequest>) -> Answer<v1::ListImagesResponse> {
        Ok(Response::new(v1::ListImagesResponse { images: self.state(|state| state.images.clone()) }))
    }

    async fn image_status(&self, request: Request<v1::ImageStatusRequest>) -> Answer<v1::ImageStatusResponse> {
        let name = name(request.into_inner().image);
        self.lose("ImageStatus", LostCall::Before).await;
        let found = |image: &&v1::Image| image.id == name || image.repo_tags.contains(&name);
        let image = self.state(|state| state.images.iter().find(found).cloned());
        Ok(Response::new(v1::ImageStatusResponse { image, ..Default::default() }))
    }

    async fn pull_image(&self, request: Request<v1::PullImageRequest>) -> Answer<v1::PullImageResponse> {
        let request = request.into_inner();
        let (name, user) = (name(request.image), request.auth.map(|auth| auth.username));
        let about = user.as_ref().map_or_else(|| name.clone(), |user| format!("{name} as {user}"));
        self.hang("PullImage").await;
        self.called("PullImage", &about)?;
        self.lose("PullImage", LostCall::Before).await;
        if user.as_deref() == Some("wrong") {
            return Err(Status::unknown("not for wrong"));
        }
        self.state(|state| {
            if !state.images.iter().any(|image| image.repo_tags.contains(&name)) {
                state.add_image(&name);
            }
        });
        Ok(Response::new(v1::PullImageResponse { image_ref: name }))
    }

    async fn remove_image(&self, request: Request<v1::RemoveImageRequest>) -> Answer<v1::RemoveImageResponse> {
        let name = name(request.into_inner().image);
        self.called("RemoveImage", &name)?;
        self.state(|state| state.images.retain(|image| !image.repo_tags.contains(&name)));
        Ok(Response::new(v1::RemoveImageResponse {}))
    }

    async fn image_fs_info(&self, _: Request<v1::ImageFsInfoRequest>) -> Answer<v1::ImageFsInfoResponse> {
        Err(Status::unimplemented("not in tests"))
    }

    type StreamImagesStream = tokio_stream::Empty<Result<v1::StreamImagesResponse, Status>>;

    async fn stream_images(&self, _: Request<v1::StreamImagesRequest>) -> Answer<Self::StreamImagesStream> {
        Err(Status::unimplemented("not in tests"))
    }
}
