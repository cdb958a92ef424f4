//! What peapod serves of images beside CRI: each method is one line that leads to the file of its call.

mod check_image;
mod export;
mod import;
mod pin;
mod store_usage;
mod untag;

use std::sync::Arc;

use peapod_api::own::image_store_server::ImageStore;
use peapod_api::own::{
    CheckImageRequest, CheckImageResponse, ExportRequest, ExportResponse, ImportRequest, ImportResponse, PinRequest,
    PinResponse, StoreUsageRequest, StoreUsageResponse, UntagRequest, UntagResponse,
};
use peapod_trace::SpanSubject;
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use super::call::{AnswerStream, Called, RequestSubject, answer, begin_stream};

/// Calls of our own about images.
pub(crate) struct ImageStoreCalls(pub(crate) Arc<Services>);

impl ImageStoreCalls {
    fn call(&self, name: &'static str) -> Called<'_> {
        Called { name, tracer: &self.0.tracer, is_operation: true }
    }
}

#[tonic::async_trait]
impl ImageStore for ImageStoreCalls {
    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Result<Response<ImportResponse>, Status> {
        let work = async |stream, span| import::handle(&self.0, stream, span).await;
        answer(self.call("Import"), request, work).await
    }

    type ExportStream = AnswerStream<ExportResponse>;

    async fn export(&self, request: Request<ExportRequest>) -> Result<Response<Self::ExportStream>, Status> {
        begin_stream(self.call("Export"), request, async |request, _| export::handle(&self.0, request).await).await
    }

    async fn check_image(&self, request: Request<CheckImageRequest>) -> Result<Response<CheckImageResponse>, Status> {
        let work = async |request, _| check_image::handle(&self.0, request).await;
        answer(self.call("CheckImage"), request, work).await
    }

    async fn store_usage(&self, request: Request<StoreUsageRequest>) -> Result<Response<StoreUsageResponse>, Status> {
        let call = Called { is_operation: false, ..self.call("StoreUsage") };
        answer(call, request, async |_, _| store_usage::handle(&self.0).await).await
    }

    async fn pin(&self, request: Request<PinRequest>) -> Result<Response<PinResponse>, Status> {
        answer(self.call("Pin"), request, async |request, _| pin::handle(&self.0, request).await).await
    }

    async fn untag(&self, request: Request<UntagRequest>) -> Result<Response<UntagResponse>, Status> {
        answer(self.call("Untag"), request, async |request, _| untag::handle(&self.0, request).await).await
    }
}

impl RequestSubject for Streaming<ImportRequest> {
    /// What is in the archive nobody knows yet.
    fn subject(&self) -> SpanSubject {
        SpanSubject::default()
    }
}

impl RequestSubject for ExportRequest {
    fn subject(&self) -> SpanSubject {
        let mut subject = SpanSubject::default();
        if let [image] = &self.images[..] {
            subject.set_image(image);
        }
        subject
    }
}

impl RequestSubject for CheckImageRequest {
    fn subject(&self) -> SpanSubject {
        let mut subject = SpanSubject::default();
        subject.set_image(&self.image);
        subject
    }
}

impl RequestSubject for StoreUsageRequest {
    fn subject(&self) -> SpanSubject {
        SpanSubject::default()
    }
}

impl RequestSubject for UntagRequest {
    fn subject(&self) -> SpanSubject {
        let mut subject = SpanSubject::default();
        subject.set_image(&self.image);
        subject
    }
}

impl RequestSubject for PinRequest {
    fn subject(&self) -> SpanSubject {
        let mut subject = SpanSubject::default();
        subject.set_image(&self.image);
        subject
    }
}
