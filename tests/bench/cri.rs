//! A client of any CRI endpoint, with requests as a kubelet makes them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hyper_util::rt::TokioIo;
use peapod_tests::v1::image_service_client::ImageServiceClient;
use peapod_tests::v1::runtime_service_client::RuntimeServiceClient;
use peapod_tests::{pod_metrics, v1};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// As a kubelet's.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A connection. Clones share it.
#[derive(Clone)]
pub(crate) struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    pods: Pods,
}

/// How pods are made.
#[derive(Clone)]
pub(crate) struct Pods {
    pub(crate) image: String,
    pub(crate) handler: String,
    pub(crate) seccomp: bool,
    pub(crate) logs: PathBuf,
}

/// A pod that was made, with the request that its containers repeat.
pub(crate) struct Pod {
    pub(crate) id: String,
    config: v1::PodSandboxConfig,
}

impl Cri {
    /// Connects now.
    pub(crate) async fn connect(socket: &Path, pods: Pods) -> Result<Self> {
        let path = socket.to_path_buf();
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let endpoint = Endpoint::from_static("http://cri").timeout(TIMEOUT);
        let channel = endpoint.connect_with_connector(connector).await;
        let channel = channel.with_context(|| format!("connect to {}", socket.display()))?;
        let limit = 16 << 20;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone()).max_decoding_message_size(limit),
            images: ImageServiceClient::new(channel).max_decoding_message_size(limit),
            pods,
        })
    }

    /// Whether runtime and network are ready.
    pub(crate) async fn is_ready(&self) -> Result<bool> {
        let request = v1::StatusRequest { verbose: false };
        let answer = self.runtime.clone().status(request).await.context("Status")?.into_inner();
        // containerd has further conditions, such as that nothing in its configuration will go away some day.
        let holds = |kind: &str| {
            let conditions = answer.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.r#type == kind && condition.status)
        };
        Ok(holds("RuntimeReady") && holds("NetworkReady"))
    }

    pub(crate) async fn version(&self) -> Result<String> {
        let answer = self.runtime.clone().version(v1::VersionRequest::default()).await.context("Version")?.into_inner();
        Ok(format!("{} {}", answer.runtime_name, answer.runtime_version))
    }

    pub(crate) async fn pull(&self) -> Result<()> {
        let image = v1::ImageSpec { image: self.pods.image.clone(), ..Default::default() };
        let request = v1::PullImageRequest { image: Some(image), ..Default::default() };
        self.images.clone().pull_image(request).await.context("PullImage").map(drop)
    }

    /// RunPodSandbox. `shared` is one PID namespace for the pod; a kubelet asks for it only if the pod does.
    pub(crate) async fn run_pod(&self, name: &str, shared: bool) -> Result<Pod> {
        self.run_pod_with(name, namespaces(shared)).await
    }

    /// The same on the node's network.
    pub(crate) async fn run_on_node(&self, name: &str) -> Result<Pod> {
        let network = v1::NamespaceMode::Node.into();
        self.run_pod_with(name, v1::NamespaceOption { network, ..namespaces(false) }).await
    }

    async fn run_pod_with(&self, name: &str, options: v1::NamespaceOption) -> Result<Pod> {
        // On the node's network a pod has the node's name, which nobody may set.
        let hostname = if options.network() == v1::NamespaceMode::Node { String::new() } else { name.to_owned() };
        let security = v1::LinuxSandboxSecurityContext {
            namespace_options: Some(options),
            seccomp: Some(profile(v1::security_profile::ProfileType::RuntimeDefault)),
            ..Default::default()
        };
        let config = v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: name.to_owned(),
                uid: format!("bench-{name}"),
                namespace: "bench".to_owned(),
                attempt: 0,
            }),
            hostname,
            log_directory: self.pods.logs.join(name).to_string_lossy().into_owned(),
            dns_config: Some(v1::DnsConfig {
                servers: vec!["10.96.0.10".to_owned()],
                searches: ["bench.svc.cluster.local", "svc.cluster.local", "cluster.local"].map(str::to_owned).into(),
                options: vec!["ndots:5".to_owned()],
            }),
            labels: [("io.kubernetes.pod.name", name), ("io.kubernetes.pod.namespace", "bench")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: format!("/bench/pod{name}"),
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        };
        let request =
            v1::RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: self.pods.handler.clone() };
        let answer = self.runtime.clone().run_pod_sandbox(request).await.context("RunPodSandbox")?;
        Ok(Pod { id: answer.into_inner().pod_sandbox_id, config })
    }

    pub(crate) async fn create(&self, pod: &Pod, shared: bool) -> Result<String> {
        self.create_named(pod, "main", shared).await
    }

    /// All metrics of all pods, as a kubelet asks for them when it is scraped; how many containers they are of.
    pub(crate) async fn metrics(&self) -> Result<usize> {
        let request = v1::ListPodSandboxMetricsRequest {};
        let answer = self.runtime.clone().list_pod_sandbox_metrics(request).await.context("ListPodSandboxMetrics")?;
        Ok(pod_metrics(answer.into_inner().pod_metrics).iter().map(|pod| pod.container_metrics.len()).sum())
    }

    /// ContainerStatus of each that runs, as a kubelet asks when it looks whether a log is too long.
    pub(crate) async fn statuses(&self) -> Result<()> {
        let request = v1::ListContainersRequest::default();
        let answer = self.runtime.clone().list_containers(request).await.context("ListContainers")?.into_inner();
        for container in answer.containers {
            let request = v1::ContainerStatusRequest { container_id: container.id, verbose: false };
            self.runtime.clone().container_status(request).await.context("ContainerStatus")?;
        }
        Ok(())
    }

    /// What all pods use.
    pub(crate) async fn pod_stats(&self) -> Result<()> {
        let request = v1::ListPodSandboxStatsRequest::default();
        self.runtime.clone().list_pod_sandbox_stats(request).await.context("ListPodSandboxStats").map(drop)
    }

    /// All images, and what they take.
    pub(crate) async fn images(&self) -> Result<()> {
        self.images.clone().list_images(v1::ListImagesRequest::default()).await.context("ListImages")?;
        let request = v1::ImageFsInfoRequest::default();
        self.images.clone().image_fs_info(request).await.context("ImageFsInfo").map(drop)
    }

    /// The same under another name.
    pub(crate) async fn create_named(&self, pod: &Pod, name: &str, shared: bool) -> Result<String> {
        let masked =
            ["asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"];
        let read_only = ["bus", "fs", "irq", "sys", "sysrq-trigger"];
        let proc = |names: &[&str]| names.iter().map(|name| format!("/proc/{name}")).collect::<Vec<_>>();
        let kind = if self.pods.seccomp {
            v1::security_profile::ProfileType::RuntimeDefault
        } else {
            v1::security_profile::ProfileType::Unconfined
        };
        let security = v1::LinuxContainerSecurityContext {
            namespace_options: Some(namespaces(shared)),
            seccomp: Some(profile(kind)),
            masked_paths: proc(&masked).into_iter().chain(["/sys/firmware".to_owned()]).collect(),
            readonly_paths: proc(&read_only),
            ..Default::default()
        };
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: self.pods.image.clone(), ..Default::default() }),
            command: ["sleep", "1000000"].map(str::to_owned).into(),
            log_path: format!("{name}/0.log"),
            linux: Some(v1::LinuxContainerConfig {
                resources: Some(v1::LinuxContainerResources {
                    cpu_period: 100_000,
                    cpu_shares: 2,
                    oom_score_adj: 1000,
                    ..Default::default()
                }),
                security_context: Some(security),
            }),
            ..Default::default()
        };
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(pod.config.clone()),
        };
        // A kubelet makes this folder.
        std::fs::create_dir_all(Path::new(&pod.config.log_directory).join(name)).context("make a log folder")?;
        Ok(self.runtime.clone().create_container(request).await.context("CreateContainer")?.into_inner().container_id)
    }

    pub(crate) async fn start(&self, container: &str) -> Result<()> {
        let request = v1::StartContainerRequest { container_id: container.to_owned() };
        self.runtime.clone().start_container(request).await.context("StartContainer").map(drop)
    }

    pub(crate) async fn exec(&self, container: &str) -> Result<()> {
        let cmd = vec!["true".to_owned()];
        let request = v1::ExecSyncRequest { container_id: container.to_owned(), cmd, timeout: 20 };
        let answer = self.runtime.clone().exec_sync(request).await.context("ExecSync")?.into_inner();
        ensure!(answer.exit_code == 0, "ExecSync: `true` answered {}", answer.exit_code);
        Ok(())
    }

    /// The URL of a command's streams.
    pub(crate) async fn exec_url(&self, container: &str, command: &[&str]) -> Result<String> {
        let cmd = command.iter().copied().map(str::to_owned).collect();
        let (container_id, stdout, stderr) = (container.to_owned(), true, true);
        let request = v1::ExecRequest { container_id, cmd, stdout, stderr, ..Default::default() };
        Ok(self.runtime.clone().exec(request).await.context("Exec")?.into_inner().url)
    }

    /// The URL of a pod's forwarded port.
    pub(crate) async fn forward_url(&self, pod: &Pod, port: u16) -> Result<String> {
        let request = v1::PortForwardRequest { pod_sandbox_id: pod.id.clone(), port: vec![port.into()] };
        Ok(self.runtime.clone().port_forward(request).await.context("PortForward")?.into_inner().url)
    }

    /// StopContainer without grace, for `sleep` as PID 1 hears nothing but KILL.
    pub(crate) async fn stop(&self, container: &str) -> Result<()> {
        let request = v1::StopContainerRequest { container_id: container.to_owned(), timeout: 0 };
        self.runtime.clone().stop_container(request).await.context("StopContainer").map(drop)
    }

    pub(crate) async fn remove(&self, container: &str) -> Result<()> {
        let request = v1::RemoveContainerRequest { container_id: container.to_owned() };
        self.runtime.clone().remove_container(request).await.context("RemoveContainer").map(drop)
    }

    pub(crate) async fn stop_pod(&self, pod: &Pod) -> Result<()> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        self.runtime.clone().stop_pod_sandbox(request).await.context("StopPodSandbox").map(drop)
    }

    pub(crate) async fn remove_pod(&self, pod: &Pod) -> Result<()> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
        self.runtime.clone().remove_pod_sandbox(request).await.context("RemovePodSandbox")?;
        // As a kubelet does with a pod's own group and logs.
        let name =
            pod.config.metadata.as_ref().map(|metadata| format!("bench/pod{}", metadata.name)).unwrap_or_default();
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(hierarchy.path().join(&name));
        }
        #[allow(clippy::disallowed_methods, reason = "the bench's own folder")]
        let _ = std::fs::remove_dir_all(&pod.config.log_directory);
        Ok(())
    }

    /// How many pods ListPodSandbox shows that are ready.
    pub(crate) async fn list_pods(&self) -> Result<usize> {
        let request = v1::ListPodSandboxRequest::default();
        let items = self.runtime.clone().list_pod_sandbox(request).await.context("ListPodSandbox")?.into_inner().items;
        Ok(items.iter().filter(|pod| pod.state == i32::from(v1::PodSandboxState::SandboxReady)).count())
    }

    /// How many containers ListContainers shows that run.
    pub(crate) async fn list_containers(&self) -> Result<usize> {
        let request = v1::ListContainersRequest::default();
        let answer = self.runtime.clone().list_containers(request).await.context("ListContainers")?.into_inner();
        Ok(answer.containers.iter().filter(|one| one.state == i32::from(v1::ContainerState::ContainerRunning)).count())
    }
}

fn namespaces(shared: bool) -> v1::NamespaceOption {
    let pid = if shared { v1::NamespaceMode::Pod } else { v1::NamespaceMode::Container };
    v1::NamespaceOption { pid: pid.into(), ..Default::default() }
}

fn profile(kind: v1::security_profile::ProfileType) -> v1::SecurityProfile {
    v1::SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() }
}
