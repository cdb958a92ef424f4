//! Pods, described and run.

use peapod_api::v1;
use tonic::Status;

use crate::{ContainerBuilder, Daemon};

/// A pod to be.
#[derive(Clone)]
pub struct PodBuilder<'a> {
    daemon: &'a Daemon,
    handler: String,
    config: v1::PodSandboxConfig,
}

impl<'a> PodBuilder<'a> {
    pub(crate) fn new(daemon: &'a Daemon, name: &str) -> Self {
        let metadata = v1::PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            namespace: "default".to_owned(),
            attempt: 0,
        };
        let config = v1::PodSandboxConfig {
            metadata: Some(metadata),
            hostname: name.to_owned(),
            log_directory: daemon.path(format!("logs-{name}")).to_string_lossy().into_owned(),
            linux: Some(v1::LinuxPodSandboxConfig::default()),
            ..Default::default()
        };
        Self { daemon, handler: String::new(), config }
    }

    /// Any change to the message that will be sent.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut v1::PodSandboxConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// The runtime handler, by name.
    #[must_use]
    pub fn handler(mut self, name: &str) -> Self {
        name.clone_into(&mut self.handler);
        self
    }

    /// Any change to the namespaces.
    #[must_use]
    pub fn namespaces(self, change: impl FnOnce(&mut v1::NamespaceOption)) -> Self {
        self.config(|config| {
            let security = config.linux.get_or_insert_default().security_context.get_or_insert_default();
            change(security.namespace_options.get_or_insert_default());
        })
    }

    /// The node's network.
    #[must_use]
    pub fn host_network(self) -> Self {
        self.namespaces(|options| options.network = v1::NamespaceMode::Node.into())
            .config(|config| config.hostname.clear())
    }

    /// How PIDs are shared.
    #[must_use]
    pub fn pid(self, mode: v1::NamespaceMode) -> Self {
        self.namespaces(|options| options.pid = mode.into())
    }

    /// Publishes a TCP port on all addresses of the node.
    #[must_use]
    pub fn port(self, container: i32, host: i32) -> Self {
        self.protocol_port(v1::Protocol::Tcp, container, host)
    }

    /// Publishes a port on all addresses of the node.
    #[must_use]
    pub fn protocol_port(self, protocol: v1::Protocol, container: i32, host: i32) -> Self {
        self.config(|config| {
            config.port_mappings.push(v1::PortMapping {
                protocol: protocol.into(),
                container_port: container,
                host_port: host,
                host_ip: String::new(),
            });
        })
    }

    /// The request as it will be sent.
    #[must_use]
    pub fn request(&self) -> v1::RunPodSandboxRequest {
        v1::RunPodSandboxRequest { config: Some(self.config.clone()), runtime_handler: self.handler.clone() }
    }

    /// Runs it.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_run(self) -> Result<Pod<'a>, Status> {
        if !self.config.log_directory.is_empty() {
            // The kubelet makes it.
            std::fs::create_dir_all(&self.config.log_directory).unwrap();
        }
        let id = self.daemon.runtime().run_pod_sandbox(self.request()).await?.into_inner().pod_sandbox_id;
        Ok(Pod { daemon: self.daemon, id, config: self.config })
    }

    /// Runs it.
    ///
    /// # Panics
    /// When the daemon refuses.
    pub async fn run(self) -> Pod<'a> {
        self.try_run().await.expect("RunPodSandbox")
    }
}

/// A pod that runs, or did.
#[derive(Clone)]
pub struct Pod<'a> {
    /// Whose pod it is.
    pub daemon: &'a Daemon,
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub config: v1::PodSandboxConfig,
}

impl<'a> Pod<'a> {
    /// A container to be described and run in it.
    #[must_use]
    pub fn container(&self, name: &str) -> ContainerBuilder<'a> {
        ContainerBuilder::new(self.clone(), name)
    }

    /// Its status.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_status(&self) -> Result<v1::PodSandboxStatus, Status> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: false };
        let response = self.daemon.runtime().pod_sandbox_status(request).await?;
        Ok(response.into_inner().status.expect("a status"))
    }

    /// Its status.
    ///
    /// # Panics
    /// When the daemon does not know it.
    pub async fn status(&self) -> v1::PodSandboxStatus {
        self.try_status().await.expect("PodSandboxStatus")
    }

    /// Its first address; empty in the node's network.
    pub async fn ip(&self) -> String {
        self.status().await.network.unwrap_or_default().ip
    }

    /// Whether containers can run in it.
    pub async fn is_ready(&self) -> bool {
        self.status().await.state() == v1::PodSandboxState::SandboxReady
    }

    /// Stops it.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn stop(&self) -> Result<(), Status> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: self.id.clone() };
        self.daemon.runtime().stop_pod_sandbox(request).await.map(drop)
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn remove(&self) -> Result<(), Status> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: self.id.clone() };
        self.daemon.runtime().remove_pod_sandbox(request).await.map(drop)
    }
}
