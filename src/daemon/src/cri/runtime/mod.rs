//! The RuntimeService: each method is one line that leads to the file of its call.

mod blocking;
mod container_stats;
mod container_status;
mod create_container;
mod exec_sync;
mod filter;
mod list_container_stats;
mod list_containers;
mod list_pod_sandbox;
mod list_pod_sandbox_stats;
mod pod_sandbox_stats;
mod pod_sandbox_status;
mod remove_container;
mod remove_pod_sandbox;
mod reopen_container_log;
mod run_pod_sandbox;
mod runtime_config;
mod start_container;
mod status;
mod stop_container;
mod stop_pod_sandbox;
mod update_container_resources;
mod update_runtime_config;
mod version;

use std::sync::Arc;

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
use tokio_stream::Empty;
use tonic::{Request, Response, Status};

use super::call::{answer, service, unimplemented};
use super::{Node, fit};

/// Calls about pods and containers.
pub(crate) struct RuntimeCalls(pub(crate) Arc<Node>);

service! {
    impl RuntimeService for RuntimeCalls;

    calls {
        Version version(VersionRequest) -> VersionResponse: |_, request| Ok(version::handle(request));
        Status status(StatusRequest) -> StatusResponse:
            |node, request| Ok(status::handle(node, request).await);
        RuntimeConfig runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse:
            |node, request| Ok(runtime_config::handle(node, request));
        UpdateRuntimeConfig update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse:
            |node, request| update_runtime_config::handle(node, request);
        RunPodSandbox run_pod_sandbox(RunPodSandboxRequest) -> RunPodSandboxResponse:
            |node, request| run_pod_sandbox::handle(node, request).await;
        StopPodSandbox stop_pod_sandbox(StopPodSandboxRequest) -> StopPodSandboxResponse:
            |node, request| stop_pod_sandbox::handle(node, request).await;
        RemovePodSandbox remove_pod_sandbox(RemovePodSandboxRequest) -> RemovePodSandboxResponse:
            |node, request| remove_pod_sandbox::handle(node, request).await;
        PodSandboxStatus pod_sandbox_status(PodSandboxStatusRequest) -> PodSandboxStatusResponse:
            |node, request| fit::answer(node, pod_sandbox_status::handle(node, request));
        ListPodSandbox list_pod_sandbox(ListPodSandboxRequest) -> ListPodSandboxResponse:
            |node, request| Ok(list_pod_sandbox::handle(node, request));
        CreateContainer create_container(CreateContainerRequest) -> CreateContainerResponse:
            |node, request| create_container::handle(node, request).await;
        StartContainer start_container(StartContainerRequest) -> StartContainerResponse:
            |node, request| start_container::handle(node, request).await;
        StopContainer stop_container(StopContainerRequest) -> StopContainerResponse:
            |node, request| stop_container::handle(node, request).await;
        RemoveContainer remove_container(RemoveContainerRequest) -> RemoveContainerResponse:
            |node, request| remove_container::handle(node, request).await;
        ContainerStatus container_status(ContainerStatusRequest) -> ContainerStatusResponse:
            |node, request| fit::answer(node, container_status::handle(node, request).await);
        ListContainers list_containers(ListContainersRequest) -> ListContainersResponse:
            |node, request| Ok(list_containers::handle(node, request));
        UpdateContainerResources update_container_resources(UpdateContainerResourcesRequest) ->
            UpdateContainerResourcesResponse:
            |node, request| update_container_resources::handle(node, request).await;
        ReopenContainerLog reopen_container_log(ReopenContainerLogRequest) -> ReopenContainerLogResponse:
            |node, request| reopen_container_log::handle(node, request).await;
        ExecSync exec_sync(ExecSyncRequest) -> ExecSyncResponse:
            |node, request| exec_sync::handle(node, request).await;
        ContainerStats container_stats(ContainerStatsRequest) -> ContainerStatsResponse:
            |node, request| container_stats::handle(node, request).await;
        ListContainerStats list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse:
            |node, request| list_container_stats::handle(node, request).await;
        PodSandboxStats pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse:
            |node, request| pod_sandbox_stats::handle(node, request).await;
        ListPodSandboxStats list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse:
            |node, request| list_pod_sandbox_stats::handle(node, request).await;
    }

    unimplemented {
        UpdatePodSandboxResources update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) ->
            UpdatePodSandboxResourcesResponse;
        PortForward port_forward(PortForwardRequest) -> PortForwardResponse;
        Exec exec(ExecRequest) -> ExecResponse;
        Attach attach(AttachRequest) -> AttachResponse;
        ListMetricDescriptors list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
        ListPodSandboxMetrics list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
        CheckpointContainer checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
        CheckpointPod checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse;
        RestorePod restore_pod(RestorePodRequest) -> RestorePodResponse;
    }

    unimplemented streams {
        StreamPodSandboxes stream_pod_sandboxes(StreamPodSandboxesRequest) ->
            StreamPodSandboxesStream of StreamPodSandboxesResponse;
        StreamContainers stream_containers(StreamContainersRequest) ->
            StreamContainersStream of StreamContainersResponse;
        StreamContainerStats stream_container_stats(StreamContainerStatsRequest) ->
            StreamContainerStatsStream of StreamContainerStatsResponse;
        StreamPodSandboxStats stream_pod_sandbox_stats(StreamPodSandboxStatsRequest) ->
            StreamPodSandboxStatsStream of StreamPodSandboxStatsResponse;
        StreamPodSandboxMetrics stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest) ->
            StreamPodSandboxMetricsStream of StreamPodSandboxMetricsResponse;
        GetContainerEvents get_container_events(GetEventsRequest) -> GetContainerEventsStream of ContainerEventResponse;
    }
}
