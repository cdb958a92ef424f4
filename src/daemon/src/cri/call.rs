//! What surrounds every call: its lines in the log, which carry what the call is about, and the status of its errors.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use peapod_api::v1;
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument as _, Span, field};

use super::status::{Answer, Failure};
use crate::bounds::ECHO;
use peapod_text::shortened;

/// Implements a service of CRI: a line for each call, with who does its work on the [`Services`](super::Services), then
/// those that answer more than once, and the calls that are not built yet.
macro_rules! service {
    (
        impl $service:ident for $calls:ident;
        calls {
            $($call:ident $method:ident($request:ty) -> $response:ty:
                |$services:pat_param, $message:pat_param| $work:expr;)*
        }
        streams {
            $($flow:ident $flow_method:ident($flow_request:ty) -> $flow_type:ident of $part:ty:
                |$flow_services:pat_param, $flow_message:pat_param| $flow_work:expr;)*
        }
        unimplemented { $($stub:ident $stub_method:ident($stub_request:ty) -> $stub_response:ty;)* }
    ) => {
        #[tonic::async_trait]
        impl $service for $calls {
            $(
                async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    let $services = &*self.0;
                    answer(stringify!($call), request.into_inner(), async |$message| $work).await
                }
            )*
            $(
                type $flow_type = AnswerStream<$part>;

                async fn $flow_method(
                    &self,
                    request: Request<$flow_request>,
                ) -> Result<Response<Self::$flow_type>, Status> {
                    let $flow_services = &*self.0;
                    answer(stringify!($flow), request.into_inner(), async |$flow_message| $flow_work).await
                }
            )*
            $(
                async fn $stub_method(
                    &self,
                    request: Request<$stub_request>,
                ) -> Result<Response<$stub_response>, Status> {
                    unimplemented(stringify!($stub), request).await
                }
            )*
        }
    };
}
pub(super) use service;

/// What a call answers that answers more than once. It is made piece by piece, as the client takes it, and ends when it
/// is dropped.
pub(super) type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Does a call's work and answers it.
pub(super) async fn answer<R: RequestSubject, A: Into<Response<T>>, T>(
    call: &'static str,
    request: R,
    work: impl AsyncFnOnce(R) -> Answer<A>,
) -> Result<Response<T>, Status> {
    let span = tracing::info_span!("cri", call, pod = field::Empty, container = field::Empty, image = field::Empty);
    request.record(&span);
    let watch = AnswerWatch { started: Instant::now(), answered: false };
    reply(watch, work(request)).instrument(span).await
}

/// Answers a call that is not built yet.
pub(super) async fn unimplemented<R: RequestSubject, T>(
    call: &'static str,
    request: Request<R>,
) -> Result<Response<T>, Status> {
    answer(call, request.into_inner(), async |_| Err::<Response<T>, _>(Failure::Unimplemented(call))).await
}

async fn reply<A: Into<Response<T>>, T>(
    mut watch: AnswerWatch,
    work: impl Future<Output = Answer<A>>,
) -> Result<Response<T>, Status> {
    let answer = work.await;
    watch.answered = true;
    let ms = watch.ms();
    match answer {
        Ok(message) => {
            tracing::debug!(ms, "answered");
            Ok(message.into())
        }
        Err(failure) => {
            let (code, message) = (failure.code(), failure.message());
            match code {
                // What clients ask in their normal course.
                Code::NotFound | Code::Unimplemented => tracing::debug!(ms, ?code, failure = message, "refused"),
                _ => tracing::warn!(ms, ?code, failure = message, "failed"),
            }
            Err(failure.into())
        }
    }
}

/// Notices when nobody waits for the answer any more.
struct AnswerWatch {
    started: Instant,
    answered: bool,
}

impl AnswerWatch {
    fn ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for AnswerWatch {
    fn drop(&mut self) {
        if !self.answered {
            tracing::info!(ms = self.ms(), "the caller went away before the answer");
        }
    }
}

/// What a request is about.
pub(super) trait RequestSubject {
    /// Puts it into the fields `pod`, `container` and `image` of a span.
    fn record(&self, span: &Span);
}

macro_rules! subject {
    ($($request:ident: $($name:literal = $field:ident),*;)*) => {$(
        impl RequestSubject for v1::$request {
            fn record(&self, span: &Span) {
                let _ = span;
                $(span.record($name, &*shortened(&self.$field, ECHO));)*
            }
        }
    )*};
}

subject! {
    VersionRequest: ;
    StatusRequest: ;
    RuntimeConfigRequest: ;
    UpdateRuntimeConfigRequest: ;
    StopPodSandboxRequest: "pod" = pod_sandbox_id;
    RemovePodSandboxRequest: "pod" = pod_sandbox_id;
    PodSandboxStatusRequest: "pod" = pod_sandbox_id;
    PodSandboxStatsRequest: "pod" = pod_sandbox_id;
    UpdatePodSandboxResourcesRequest: "pod" = pod_sandbox_id;
    ListPodSandboxRequest: ;
    ListPodSandboxStatsRequest: ;
    CreateContainerRequest: "pod" = pod_sandbox_id;
    StartContainerRequest: "container" = container_id;
    StopContainerRequest: "container" = container_id;
    RemoveContainerRequest: "container" = container_id;
    ContainerStatusRequest: "container" = container_id;
    ContainerStatsRequest: "container" = container_id;
    UpdateContainerResourcesRequest: "container" = container_id;
    ReopenContainerLogRequest: "container" = container_id;
    ExecSyncRequest: "container" = container_id;
    ExecRequest: "container" = container_id;
    AttachRequest: "container" = container_id;
    PortForwardRequest: "pod" = pod_sandbox_id;
    ListContainersRequest: ;
    ListContainerStatsRequest: ;
    ListMetricDescriptorsRequest: ;
    ListPodSandboxMetricsRequest: ;
    ListImagesRequest: ;
    ImageFsInfoRequest: ;
    StreamPodSandboxesRequest: ;
    StreamContainersRequest: ;
    StreamContainerStatsRequest: ;
    StreamPodSandboxStatsRequest: ;
    StreamPodSandboxMetricsRequest: ;
    StreamImagesRequest: ;
    GetEventsRequest: ;
    // Of calls that are not built yet.
    CheckpointContainerRequest: "container" = container_id;
    CheckpointPodRequest: "pod" = pod_sandbox_id;
    RestorePodRequest: ;
}

/// The pod has no id yet, so its name stands for it.
impl RequestSubject for v1::RunPodSandboxRequest {
    fn record(&self, span: &Span) {
        if let Some(metadata) = self.config.as_ref().and_then(|config| config.metadata.as_ref()) {
            let name = format!("{}/{}", shortened(&metadata.namespace, ECHO), shortened(&metadata.name, ECHO));
            span.record("pod", name.as_str());
        }
    }
}

impl RequestSubject for v1::ImageStatusRequest {
    fn record(&self, span: &Span) {
        record_image(self.image.as_ref(), span);
    }
}

impl RequestSubject for v1::PullImageRequest {
    fn record(&self, span: &Span) {
        record_image(self.image.as_ref(), span);
    }
}

impl RequestSubject for v1::RemoveImageRequest {
    fn record(&self, span: &Span) {
        record_image(self.image.as_ref(), span);
    }
}

fn record_image(image: Option<&v1::ImageSpec>, span: &Span) {
    if let Some(image) = image {
        span.record("image", &*shortened(&image.image, ECHO));
    }
}
