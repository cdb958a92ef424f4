//! The runtime service of the fake runtime: what the client uses of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use peapod_api::Encoded;
use peapod_api::v1;
use peapod_api::v1::runtime_service_server::RuntimeService;
use tonic::{Request, Response, Status};

use super::process::Process;
use super::{Container, Fake, LostCall, missing};

type Answer<T> = Result<Response<T>, Status>;
type Nothing<T> = tokio_stream::Empty<Result<T, Status>>;

fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

/// Adds the calls that no test needs to those that are written out.
macro_rules! runtime_service {
    ({ $($written:tt)* }
        { $($name:ident($request:ident) -> $response:ident;)* }
        { $($rpc:ident($req:ident) -> $stream:ident of $item:ident;)* }) => {
        #[tonic::async_trait]
        impl RuntimeService for Fake {
            $($written)*
            $(async fn $name(&self, _: Request<v1::$request>) -> Answer<v1::$response> {
                Err(Status::unimplemented("not in tests"))
            })*
            $(type $stream = Nothing<v1::$item>;
            async fn $rpc(&self, _: Request<v1::$req>) -> Answer<Self::$stream> {
                Err(Status::unimplemented("not in tests"))
            })*
        }
    };
}

impl Container {
    fn state(&self) -> v1::ContainerState {
        match &self.process {
            None => v1::ContainerState::ContainerCreated,
            Some(process) if process.exit.borrow().is_none() => v1::ContainerState::ContainerRunning,
            Some(_) => v1::ContainerState::ContainerExited,
        }
    }

    fn listed(&self, id: &str) -> v1::Container {
        v1::Container {
            id: id.to_owned(),
            pod_sandbox_id: self.pod.clone(),
            metadata: self.config.metadata.clone(),
            image: self.config.image.clone(),
            state: self.state().into(),
            created_at: i64::from_str_radix(&id[48..], 16).unwrap(),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            ..Default::default()
        }
    }
}

impl Fake {
    /// Signals, waits, kills.
    async fn end(&self, id: &str, grace: u64) {
        let exit = self.state(|state| {
            let process = state.containers.get(id)?.process.as_ref()?;
            process.signal(if grace == 0 { Signal::SIGKILL } else { Signal::SIGTERM });
            Some(process.exit.clone())
        });
        let Some(mut exit) = exit else { return };
        let wait = Duration::from_secs(grace);
        if tokio::time::timeout(wait, exit.wait_for(Option::is_some)).await.is_err() {
            self.state(|state| {
                if let Some(process) = state.containers.get(id).and_then(|container| container.process.as_ref()) {
                    process.signal(Signal::SIGKILL);
                }
            });
            exit.wait_for(Option::is_some).await.unwrap();
        }
    }

    fn of_pod(&self, pod: &str) -> Vec<String> {
        self.state(|state| {
            let own = state.containers.iter().filter(|(_, container)| container.pod == pod);
            own.map(|(id, _)| id.clone()).collect()
        })
    }
}

fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

fn listed(id: &str, config: &v1::PodSandboxConfig, ready: bool) -> v1::PodSandbox {
    let state = if ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready };
    v1::PodSandbox {
        id: id.to_owned(),
        metadata: config.metadata.clone(),
        state: state.into(),
        labels: config.labels.clone(),
        annotations: config.annotations.clone(),
        ..Default::default()
    }
}

runtime_service! {
{
    async fn version(&self, _: Request<v1::VersionRequest>) -> Answer<v1::VersionResponse> {
        answer(v1::VersionResponse { runtime_name: "fake".into(), runtime_version: "1".into(), ..Default::default() })
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Answer<v1::StatusResponse> {
        answer(v1::StatusResponse::default())
    }

    async fn run_pod_sandbox(&self, request: Request<v1::RunPodSandboxRequest>) -> Answer<v1::RunPodSandboxResponse> {
        let config = request.into_inner().config.unwrap();
        self.called("RunPodSandbox", &config.metadata.clone().unwrap().name)?;
        let pod_sandbox_id = self.state(|state| {
            let id = state.new_id();
            state.pods.insert(id.clone(), (config, true));
            id
        });
        answer(v1::RunPodSandboxResponse { pod_sandbox_id })
    }

    async fn stop_pod_sandbox(&self, request: Request<v1::StopPodSandboxRequest>) -> Answer<v1::StopPodSandboxResponse> {
        let id = request.into_inner().pod_sandbox_id;
        self.called("StopPodSandbox", "")?;
        // First: nothing is made any more in a pod that is being stopped.
        self.state(|state| {
            if let Some((_, ready)) = state.pods.get_mut(&id) {
                *ready = false;
            }
        });
        for container in self.of_pod(&id) {
            self.end(&container, 0).await;
        }
        answer(v1::StopPodSandboxResponse {})
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<v1::RemovePodSandboxRequest>,
    ) -> Answer<v1::RemovePodSandboxResponse> {
        self.called("RemovePodSandbox", "")?;
        self.lose("RemovePodSandbox", LostCall::Before).await;
        self.state(|state| state.pods.remove(&request.into_inner().pod_sandbox_id));
        answer(v1::RemovePodSandboxResponse {})
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<v1::PodSandboxStatusRequest>,
    ) -> Answer<v1::PodSandboxStatusResponse> {
        let id = request.into_inner().pod_sandbox_id;
        let network = Some(v1::PodSandboxNetworkStatus { ip: "10.1.2.3".into(), ..Default::default() });
        self.state(|state| match state.pods.get(&id) {
            Some(_) => {
                let status = v1::PodSandboxStatus { id, network, ..Default::default() };
                answer(v1::PodSandboxStatusResponse { status: Some(status), ..Default::default() })
            }
            None => Err(missing(&id)),
        })
    }

    async fn list_pod_sandbox(&self, request: Request<v1::ListPodSandboxRequest>) -> Answer<Encoded<v1::ListPodSandboxResponse>> {
        self.hang("ListPodSandbox").await;
        let filter = request.into_inner().filter.unwrap_or_default();
        let items = self.state(|state| {
            let all = state.pods.iter().map(|(id, (config, ready))| listed(id, config, *ready));
            all.filter(|pod| filter.id.is_empty() || filter.id == pod.id)
                .filter(|pod| filter.state.is_none_or(|state| state.state == pod.state))
                .filter(|pod| has_labels(&pod.labels, &filter.label_selector))
                .collect()
        });
        answer(v1::ListPodSandboxResponse { items }.into())
    }

    async fn create_container(
        &self,
        request: Request<v1::CreateContainerRequest>,
    ) -> Answer<v1::CreateContainerResponse> {
        let request = request.into_inner();
        let config = request.config.unwrap();
        let metadata = config.metadata.clone().unwrap();
        self.called("CreateContainer", &format!("{} {}", metadata.name, metadata.attempt))?;
        self.lose("CreateContainer", LostCall::Before).await;
        let container_id = self.state(|state| {
            let is_taken = |other: &Container| {
                other.pod == request.pod_sandbox_id && other.config.metadata.as_ref() == Some(&metadata)
            };
            if !state.pods.get(&request.pod_sandbox_id).is_some_and(|(_, ready)| *ready) {
                return Err(Status::failed_precondition("its pod is not ready"));
            }
            if state.containers.values().any(is_taken) {
                return Err(Status::already_exists("its name is taken"));
            }
            let id = state.new_id();
            let container = Container { pod: request.pod_sandbox_id, config, process: None };
            state.containers.insert(id.clone(), container);
            Ok(id)
        })?;
        self.lose("CreateContainer", LostCall::After).await;
        answer(v1::CreateContainerResponse { container_id })
    }

    async fn start_container(&self, request: Request<v1::StartContainerRequest>) -> Answer<v1::StartContainerResponse> {
        let id = request.into_inner().container_id;
        self.called("StartContainer", "")?;
        self.lose("StartContainer", LostCall::Before).await;
        self.state(|state| {
            let container = state.containers.get_mut(&id).ok_or_else(|| missing(&id))?;
            if container.process.is_some() {
                return Err(Status::failed_precondition("it was started"));
            }
            let (pod, _) = &state.pods[&container.pod];
            let log = Path::new(&pod.log_directory).join(&container.config.log_path);
            let process = Process::start(&container.config, &log).map_err(|error| Status::unknown(error.to_string()))?;
            container.process = Some(process);
            Ok(())
        })?;
        self.lose("StartContainer", LostCall::After).await;
        answer(v1::StartContainerResponse {})
    }

    async fn stop_container(&self, request: Request<v1::StopContainerRequest>) -> Answer<v1::StopContainerResponse> {
        let request = request.into_inner();
        self.called("StopContainer", &request.timeout.to_string())?;
        self.end(&request.container_id, request.timeout.try_into().unwrap()).await;
        answer(v1::StopContainerResponse {})
    }

    async fn remove_container(
        &self,
        request: Request<v1::RemoveContainerRequest>,
    ) -> Answer<v1::RemoveContainerResponse> {
        self.called("RemoveContainer", "")?;
        self.state(|state| state.containers.remove(&request.into_inner().container_id));
        self.lose("RemoveContainer", LostCall::After).await;
        answer(v1::RemoveContainerResponse {})
    }

    async fn container_status(
        &self,
        request: Request<v1::ContainerStatusRequest>,
    ) -> Answer<v1::ContainerStatusResponse> {
        let id = request.into_inner().container_id;
        self.state(|state| {
            let container = state.containers.get(&id).ok_or_else(|| missing(&id))?;
            let exit = container.process.as_ref().and_then(|process| *process.exit.borrow());
            let status = v1::ContainerStatus {
                state: container.state().into(),
                started_at: container.process.is_some().into(),
                exit_code: exit.unwrap_or_default(),
                log_path: format!("{}/{}", state.pods[&container.pod].0.log_directory, container.config.log_path),
                ..Default::default()
            };
            answer(v1::ContainerStatusResponse { status: Some(status), ..Default::default() })
        })
    }

    async fn list_containers(&self, request: Request<v1::ListContainersRequest>) -> Answer<Encoded<v1::ListContainersResponse>> {
        let pod = request.into_inner().filter.unwrap_or_default().pod_sandbox_id;
        let containers = self.state(|state| {
            let all = state.containers.iter().filter(|(_, container)| pod.is_empty() || container.pod == pod);
            all.map(|(id, container)| container.listed(id)).collect()
        });
        answer(v1::ListContainersResponse { containers }.into())
    }

    async fn reopen_container_log(
        &self,
        request: Request<v1::ReopenContainerLogRequest>,
    ) -> Answer<v1::ReopenContainerLogResponse> {
        let id = request.into_inner().container_id;
        self.called("ReopenContainerLog", "")?;
        self.state(|state| {
            let container = state.containers.get(&id).ok_or_else(|| missing(&id))?;
            let (pod, _) = &state.pods[&container.pod];
            let log = Path::new(&pod.log_directory).join(&container.config.log_path);
            let process = container.process.as_ref().filter(|process| process.exit.borrow().is_none());
            process.ok_or_else(|| Status::failed_precondition("it does not run"))?.reopen(&log);
            Ok::<_, Status>(())
        })?;
        answer(v1::ReopenContainerLogResponse {})
    }

    async fn exec_sync(&self, request: Request<v1::ExecSyncRequest>) -> Answer<v1::ExecSyncResponse> {
        let cmd = request.into_inner().cmd;
        self.called("ExecSync", &cmd.join(" "))?;
        answer(v1::ExecSyncResponse { stdout: "out\n".into(), stderr: "err\n".into(), exit_code: 7 })
    }
}
{
    runtime_config(RuntimeConfigRequest) -> RuntimeConfigResponse;
    update_runtime_config(UpdateRuntimeConfigRequest) -> UpdateRuntimeConfigResponse;
    update_pod_sandbox_resources(UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse;
    port_forward(PortForwardRequest) -> PortForwardResponse;
    update_container_resources(UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse;
    exec(ExecRequest) -> ExecResponse;
    attach(AttachRequest) -> AttachResponse;
    container_stats(ContainerStatsRequest) -> ContainerStatsResponse;
    list_container_stats(ListContainerStatsRequest) -> ListContainerStatsResponse;
    pod_sandbox_stats(PodSandboxStatsRequest) -> PodSandboxStatsResponse;
    list_pod_sandbox_stats(ListPodSandboxStatsRequest) -> ListPodSandboxStatsResponse;
    list_metric_descriptors(ListMetricDescriptorsRequest) -> ListMetricDescriptorsResponse;
    list_pod_sandbox_metrics(ListPodSandboxMetricsRequest) -> ListPodSandboxMetricsResponse;
    checkpoint_container(CheckpointContainerRequest) -> CheckpointContainerResponse;
    checkpoint_pod(CheckpointPodRequest) -> CheckpointPodResponse;
    restore_pod(RestorePodRequest) -> RestorePodResponse;
}
{
    stream_pod_sandboxes(StreamPodSandboxesRequest) -> StreamPodSandboxesStream of StreamPodSandboxesResponse;
    stream_containers(StreamContainersRequest) -> StreamContainersStream of StreamContainersResponse;
    stream_container_stats(StreamContainerStatsRequest) -> StreamContainerStatsStream of StreamContainerStatsResponse;
    stream_pod_sandbox_stats(StreamPodSandboxStatsRequest) -> StreamPodSandboxStatsStream of StreamPodSandboxStatsResponse;
    stream_pod_sandbox_metrics(StreamPodSandboxMetricsRequest) -> StreamPodSandboxMetricsStream of StreamPodSandboxMetricsResponse;
    get_container_events(GetEventsRequest) -> GetContainerEventsStream of ContainerEventResponse;
}
}
