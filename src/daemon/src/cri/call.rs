//! What surrounds every call: its lines in the log, which carry what the call is about, and the status of its errors.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use peapod_api::v1;
use peapod_trace::{RootSpan, Span, SpanSubject, TraceParent, Tracer};
use tokio_stream::Stream;
use tonic::{Code, Request, Response, Status};
use tracing::{Instrument as _, field};

use super::status::Answer;
use crate::grpc::{Arrived, HeldUntilTaken, code_name};
use crate::stages;

/// Implements a service of CRI: a line for each call, with who does its work on the [`Services`](super::Services), and
/// with the call's span if it is an operation, which readers can look at; then those that answer more than once.
macro_rules! service {
    (
        impl $service:ident for $calls:ident;
        calls {
            $($call:ident $method:ident($request:ty) -> $response:ty:
                |$services:pat_param, $message:pat_param $(, $span:pat_param)?| $work:expr;)*
        }
        streams {
            $($flow:ident $flow_method:ident($flow_request:ty) -> $flow_type:ident of $part:ty:
                |$flow_services:pat_param, $flow_message:pat_param| $flow_work:expr;)*
        }
    ) => {
        #[tonic::async_trait]
        impl $service for $calls {
            $(
                async fn $method(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                    let $services = &*self.0;
                    let is_operation = false $(|| { stringify!($span); true })?;
                    let call = Called { name: stringify!($call), tracer: &self.0.tracer, is_operation };
                    answer(call, request, async |$message, _span: peapod_trace::Span| {
                        $(let $span = &_span;)?
                        $work
                    })
                    .await
                }
            )*
            $(
                type $flow_type = AnswerStream<$part>;

                async fn $flow_method(
                    &self,
                    request: Request<$flow_request>,
                ) -> Result<Response<Self::$flow_type>, Status> {
                    let $flow_services = &*self.0;
                    let call = Called { name: stringify!($flow), tracer: &self.0.tracer, is_operation: false };
                    begin_stream(call, request, async |$flow_message, _| $flow_work).await
                }
            )*
        }
    };
}
pub(super) use service;

/// What a call answers that answers more than once. It is made piece by piece, as the client takes it, and ends when it
/// is dropped.
pub(super) type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A call, as the line of its service has it.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) name: &'static str,
    pub(super) tracer: &'a Tracer,
    /// It changes something, or asks for work.
    pub(super) is_operation: bool,
}

impl Called<'_> {
    /// The span of a request, from its arrival on, under that of its client.
    fn begin<R>(self, request: &Request<R>, subject: SpanSubject) -> RootSpan {
        let parent = request.metadata().get("traceparent").and_then(|header| header.to_str().ok());
        let parent = parent.and_then(TraceParent::parse);
        let arrived = request.extensions().get::<Arrived>().map_or_else(Instant::now, |arrived| arrived.0);
        if self.is_operation {
            self.tracer.operation(self.name, subject, parent, arrived, &stages::RECEIVE)
        } else {
            self.tracer.query(self.name, subject, parent, arrived, &stages::RECEIVE)
        }
    }
}

/// Does a call's work and answers it. Its span ends when the client has the answer.
pub(super) async fn answer<R: RequestSubject, A: Into<Response<T>>, T>(
    call: Called<'_>,
    request: Request<R>,
    work: impl AsyncFnOnce(R, Span) -> Answer<A>,
) -> Result<Response<T>, Status> {
    let (root, answer) = carry_out(call, request, work).await;
    answer.map(|mut response| {
        let held = response.extensions_mut().remove::<HeldUntilTaken>();
        response.extensions_mut().insert(HeldUntilTaken::new((root, held)));
        response
    })
}

/// The same of a call that answers more than once. Its span ends when it begins to.
pub(super) async fn begin_stream<R: RequestSubject, A: Into<Response<T>>, T>(
    call: Called<'_>,
    request: Request<R>,
    work: impl AsyncFnOnce(R, Span) -> Answer<A>,
) -> Result<Response<T>, Status> {
    carry_out(call, request, work).await.1
}

async fn carry_out<R: RequestSubject, A: Into<Response<T>>, T>(
    call: Called<'_>,
    request: Request<R>,
    work: impl AsyncFnOnce(R, Span) -> Answer<A>,
) -> (RootSpan, Result<Response<T>, Status>) {
    let subject = request.get_ref().subject();
    let log = log_span(call.name, &subject);
    let root = call.begin(&request, subject);
    root.span().enter(&stages::CHECK);
    let watch = AnswerWatch { started: Instant::now(), answered: false };
    let work = work(request.into_inner(), root.span().clone());
    let answer = reply(&root, watch, work).instrument(log).await;
    (root, answer)
}

/// What lines of the log carry that are about the call.
fn log_span(call: &'static str, subject: &SpanSubject) -> tracing::Span {
    let log = tracing::info_span!("cri", call, pod = field::Empty, container = field::Empty, image = field::Empty);
    let (id, name) = (subject.pod_id(), subject.pod_name());
    if !id.is_empty() {
        log.record("pod", id);
    } else if !name.is_empty() {
        // The pod has no id yet, so its name stands for it.
        log.record("pod", format!("{}/{name}", subject.namespace()).as_str());
    }
    for (field, text) in [("container", subject.container_id()), ("image", subject.image())] {
        if !text.is_empty() {
            log.record(field, text);
        }
    }
    log
}

async fn reply<A: Into<Response<T>>, T>(
    root: &RootSpan,
    mut watch: AnswerWatch,
    work: impl Future<Output = Answer<A>>,
) -> Result<Response<T>, Status> {
    let answer = work.await;
    watch.answered = true;
    let ms = watch.ms();
    match answer {
        Ok(message) => {
            root.settle(Ok(()));
            tracing::debug!(ms, "answered");
            Ok(message.into())
        }
        Err(failure) => {
            let (code, message) = (failure.code(), failure.message());
            root.settle(Err((code_name(code), &message)));
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
    /// What it says of pod, container and image.
    fn subject(&self) -> SpanSubject;
}

macro_rules! subject {
    ($($request:ident: $($set:ident = $field:ident),*;)*) => {$(
        impl RequestSubject for v1::$request {
            fn subject(&self) -> SpanSubject {
                #[allow(unused_mut, reason = "some are about nothing")]
                let mut subject = SpanSubject::default();
                $(subject.$set(&self.$field);)*
                subject
            }
        }
    )*};
}

subject! {
    VersionRequest: ;
    StatusRequest: ;
    RuntimeConfigRequest: ;
    UpdateRuntimeConfigRequest: ;
    StopPodSandboxRequest: set_pod_id = pod_sandbox_id;
    RemovePodSandboxRequest: set_pod_id = pod_sandbox_id;
    PodSandboxStatusRequest: set_pod_id = pod_sandbox_id;
    PodSandboxStatsRequest: set_pod_id = pod_sandbox_id;
    UpdatePodSandboxResourcesRequest: set_pod_id = pod_sandbox_id;
    ListPodSandboxRequest: ;
    ListPodSandboxStatsRequest: ;
    CreateContainerRequest: set_pod_id = pod_sandbox_id;
    StartContainerRequest: set_container_id = container_id;
    StopContainerRequest: set_container_id = container_id;
    RemoveContainerRequest: set_container_id = container_id;
    ContainerStatusRequest: set_container_id = container_id;
    ContainerStatsRequest: set_container_id = container_id;
    UpdateContainerResourcesRequest: set_container_id = container_id;
    ReopenContainerLogRequest: set_container_id = container_id;
    ExecSyncRequest: set_container_id = container_id;
    ExecRequest: set_container_id = container_id;
    AttachRequest: set_container_id = container_id;
    PortForwardRequest: set_pod_id = pod_sandbox_id;
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
    CheckpointContainerRequest: set_container_id = container_id;
    CheckpointPodRequest: set_pod_id = pod_sandbox_id;
    RestorePodRequest: ;
}

impl RequestSubject for v1::RunPodSandboxRequest {
    fn subject(&self) -> SpanSubject {
        let mut subject = SpanSubject::default();
        if let Some(metadata) = self.config.as_ref().and_then(|config| config.metadata.as_ref()) {
            subject.set_namespace(&metadata.namespace);
            subject.set_pod_name(&metadata.name);
            subject.set_pod_uid(&metadata.uid);
        }
        subject
    }
}

impl RequestSubject for v1::ImageStatusRequest {
    fn subject(&self) -> SpanSubject {
        of_image(self.image.as_ref())
    }
}

impl RequestSubject for v1::PullImageRequest {
    fn subject(&self) -> SpanSubject {
        of_image(self.image.as_ref())
    }
}

impl RequestSubject for v1::RemoveImageRequest {
    fn subject(&self) -> SpanSubject {
        of_image(self.image.as_ref())
    }
}

fn of_image(image: Option<&v1::ImageSpec>) -> SpanSubject {
    let mut subject = SpanSubject::default();
    if let Some(image) = image {
        subject.set_image(&image.image);
    }
    subject
}
