//! The RuntimeService: each method is one line that leads to the file of its call.

mod attach;
mod checkpoint_container;
mod checkpoint_pod;
mod container_stats;
mod container_status;
mod create_container;
mod exec;
mod exec_sync;
mod filter;
mod get_container_events;
mod list_container_stats;
mod list_containers;
mod list_metric_descriptors;
mod list_pod_sandbox;
mod list_pod_sandbox_metrics;
mod list_pod_sandbox_stats;
mod pod_sandbox_stats;
mod pod_sandbox_status;
mod port_forward;
mod remove_container;
mod remove_pod_sandbox;
mod reopen_container_log;
mod restore_pod;
mod run_pod_sandbox;
mod runtime_config;
mod start_container;
mod status;
mod stop_container;
mod stop_pod_sandbox;
mod stream_container_stats;
mod stream_containers;
mod stream_pod_sandbox_metrics;
mod stream_pod_sandbox_stats;
mod stream_pod_sandboxes;
mod update_container_resources;
mod update_pod_sandbox_resources;
mod update_runtime_config;
mod version;

use std::sync::Arc;

use peapod_api::Encoded;
use peapod_api::v1::runtime_service_server::RuntimeService;
use peapod_api::v1::{
    AttachRequest, AttachResponse, CheckpointContainerRequest, CheckpointContainerResponse, CheckpointPodRequest,
    CheckpointPodResponse, ContainerEventResponse, ContainerStatsRequest, ContainerStatsResponse,
    ContainerStatusRequest, ContainerStatusResponse, CreateContainerRequest, CreateContainerResponse, ExecRequest,
    ExecResponse, ExecSyncRequest, ExecSyncResponse, GetEventsRequest, ListContainerStatsRequest,
    ListContainerStatsResponse, ListContainersRequest, ListContainersResponse, ListMetricDescriptorsRequest,
    ListMetricDescriptorsResponse, ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse, ListPodSandboxRequest,
    ListPodSandboxResponse, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse, PodSandboxStatsRequest,
    PodSandboxStatsResponse, PodSandboxStatusRequest, PodSandboxStatusResponse, PortForwardRequest,
    PortForwardResponse, RemoveContainerRequest, RemoveContainerResponse, RemovePodSandboxRequest,
    RemovePodSandboxResponse, ReopenContainerLogRequest, ReopenContainerLogResponse, RestorePodRequest,
    RestorePodResponse, RunPodSandboxRequest, RunPodSandboxResponse, RuntimeConfigRequest, RuntimeConfigResponse,
    StartContainerRequest, StartContainerResponse, StatusRequest, StatusResponse, StopContainerRequest,
    StopContainerResponse, StopPodSandboxRequest, StopPodSandboxResponse, StreamContainerStatsRequest,
    StreamContainerStatsResponse, StreamContainersRequest, StreamContainersResponse, StreamPodSandboxMetricsRequest,
    StreamPodSandboxMetricsResponse, StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse,
    StreamPodSandboxesRequest, StreamPodSandboxesResponse, UpdateContainerResourcesRequest,
    UpdateContainerResourcesResponse, UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse,
    UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse, VersionRequest, VersionResponse,
};
use tonic::{Request, Response, Status};

use super::call::{AnswerStream, Called, answer, begin_stream, service};
use super::{Services, fit};

/// Calls about pods and containers.
pub(crate) struct RuntimeCalls(pub(crate) Arc<Services>);

service! {
    impl RuntimeService for RuntimeCalls;

    calls {
        Version version(VersionRequest) -> VersionResponse: |_, request| Ok(version::handle(request));
        Status status(StatusRequest) -> StatusResponse:
            |services, request| Ok(status::handle(services, request).await);
        RuntimeConfig runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse:
            |services, request| Ok(runtime_config::handle(services, request));
        UpdateRuntimeConfig update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse:
            |services, request| update_runtime_config::handle(services, request);
        RunPodSandbox run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse:
            |services, request, span| run_pod_sandbox::handle(services, request, span).await;
        StopPodSandbox stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse:
            |services, request, span| stop_pod_sandbox::handle(services, request, span).await;
        RemovePodSandbox remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse:
            |services, request, span| remove_pod_sandbox::handle(services, request, span).await;
        PodSandboxStatus pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse:
            |services, request| fit::answer(services, pod_sandbox_status::handle(services, request).await);
        ListPodSandbox list_pod_sandbox(ListPodSandboxRequest) -> Encoded<ListPodSandboxResponse>:
            |services, request| Ok(list_pod_sandbox::handle(services, request));
        UpdatePodSandboxResources update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) ->
            UpdatePodSandboxResourcesResponse:
            |services, request, span| update_pod_sandbox_resources::handle(services, request, span).await;
        CreateContainer create_container(CreateContainerRequest) -> CreateContainerResponse:
            |services, request, span| create_container::handle(services, request, span).await;
        StartContainer start_container(StartContainerRequest) -> StartContainerResponse:
            |services, request, span| start_container::handle(services, request, span).await;
        StopContainer stop_container(StopContainerRequest) -> StopContainerResponse:
            |services, request, span| stop_container::handle(services, request, span).await;
        RemoveContainer remove_container(RemoveContainerRequest) -> RemoveContainerResponse:
            |services, request, span| remove_container::handle(services, request, span).await;
        ContainerStatus container_status(ContainerStatusRequest) -> ContainerStatusResponse:
            |services, request| fit::answer(services, container_status::handle(services, request).await);
        ListContainers list_containers(ListContainersRequest) -> Encoded<ListContainersResponse>:
            |services, request| Ok(list_containers::handle(services, request));
        UpdateContainerResources update_container_resources(UpdateContainerResourcesRequest) ->
            UpdateContainerResourcesResponse:
            |services, request, span| update_container_resources::handle(services, request, span).await;
        CheckpointContainer checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse:
            |services, request, span| checkpoint_container::handle(services, request, span).await;
        CheckpointPod checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse:
            |services, request, span| checkpoint_pod::handle(services, request, span).await;
        RestorePod restore_pod(RestorePodRequest) -> RestorePodResponse:
            |services, request, span| restore_pod::handle(services, request, span).await;
        ReopenContainerLog reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse:
            |services, request, _| reopen_container_log::handle(services, request).await;
        ExecSync exec_sync(ExecSyncRequest) -> ExecSyncResponse:
            |services, request, span| exec_sync::handle(services, request, span).await;
        Exec exec(ExecRequest) -> ExecResponse: |services, request, _| exec::handle(services, request).await;
        Attach attach(AttachRequest) -> AttachResponse: |services, request, _| attach::handle(services, request).await;
        PortForward port_forward(PortForwardRequest) -> PortForwardResponse:
            |services, request, _| port_forward::handle(services, request).await;
        ContainerStats container_stats(ContainerStatsRequest) -> ContainerStatsResponse:
            |services, request| container_stats::handle(services, request).await;
        ListContainerStats list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse:
            |services, request| list_container_stats::handle(services, request).await;
        PodSandboxStats pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse:
            |services, request| pod_sandbox_stats::handle(services, request).await;
        ListPodSandboxStats list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse:
            |services, request| list_pod_sandbox_stats::handle(services, request).await;
        ListMetricDescriptors list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse:
            |services, request| Ok(list_metric_descriptors::handle(services, request));
        ListPodSandboxMetrics list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse:
            |services, request| list_pod_sandbox_metrics::handle(services, request).await;
    }

    streams {
        StreamPodSandboxes stream_pod_sandboxes(StreamPodSandboxesRequest) ->
            StreamPodSandboxesStream of StreamPodSandboxesResponse:
            |services, request| stream_pod_sandboxes::handle(services, request);
        StreamContainers stream_containers(StreamContainersRequest) ->
            StreamContainersStream of StreamContainersResponse:
            |services, request| stream_containers::handle(services, request);
        StreamContainerStats stream_container_stats(StreamContainerStatsRequest) ->
            StreamContainerStatsStream of StreamContainerStatsResponse:
            |services, request| stream_container_stats::handle(services, request);
        StreamPodSandboxStats stream_pod_sandbox_stats(StreamPodSandboxStatsRequest) ->
            StreamPodSandboxStatsStream of StreamPodSandboxStatsResponse:
            |services, request| stream_pod_sandbox_stats::handle(services, request);
        StreamPodSandboxMetrics stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest) ->
            StreamPodSandboxMetricsStream of StreamPodSandboxMetricsResponse:
            |services, _| stream_pod_sandbox_metrics::handle(services).await;
        GetContainerEvents get_container_events(GetEventsRequest) ->
            GetContainerEventsStream of ContainerEventResponse:
            |services, _| get_container_events::handle(services);
    }

}
