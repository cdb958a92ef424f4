//! Containers, described and run.

use std::path::PathBuf;

use peapod_api::v1;
use tonic::Status;

use crate::{Line, Pod, SHELL, fixture, log, wait_for, wait_some};

/// A container to be.
#[derive(Clone)]
pub struct ContainerBuilder<'a> {
    pod: Pod<'a>,
    config: v1::ContainerConfig,
}

impl<'a> ContainerBuilder<'a> {
    pub(crate) fn new(pod: Pod<'a>, name: &str) -> Self {
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.to_owned(), attempt: 0 }),
            log_path: format!("{name}.log"),
            linux: Some(v1::LinuxContainerConfig::default()),
            ..Default::default()
        };
        Self { pod, config }.image(SHELL)
    }

    /// Any change to the message that will be sent.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut v1::ContainerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Any change to who it runs as and what it may do.
    #[must_use]
    pub fn security(self, change: impl FnOnce(&mut v1::LinuxContainerSecurityContext)) -> Self {
        self.config(|config| change(config.linux.get_or_insert_default().security_context.get_or_insert_default()))
    }

    /// Any change to its limits.
    #[must_use]
    pub fn resources(self, change: impl FnOnce(&mut v1::LinuxContainerResources)) -> Self {
        self.config(|config| change(config.linux.get_or_insert_default().resources.get_or_insert_default()))
    }

    /// The image: a name of the local registry, or a full reference.
    #[must_use]
    pub fn image(self, name: &str) -> Self {
        self.config(|config| config.image = Some(v1::ImageSpec { image: fixture(name), ..Default::default() }))
    }

    /// A script for the image's shell.
    #[must_use]
    pub fn sh(self, script: &str) -> Self {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Program and arguments, instead of the image's.
    #[must_use]
    pub fn command(self, command: &[&str]) -> Self {
        self.config(|config| config.command = command.iter().map(|&part| part.to_owned()).collect())
    }

    /// One more variable.
    #[must_use]
    pub fn env(self, key: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref().to_vec().into();
        self.config(|config| config.envs.push(v1::KeyValue { key: key.to_owned(), value }))
    }

    /// Mounts a path of the node.
    #[must_use]
    pub fn mount(self, host: impl Into<PathBuf>, container: &str) -> Self {
        self.mount_with(host, container, |_| {})
    }

    /// Mounts a path of the node, in a special way.
    #[must_use]
    pub fn mount_with(self, host: impl Into<PathBuf>, container: &str, change: impl FnOnce(&mut v1::Mount)) -> Self {
        let mut mount = v1::Mount {
            host_path: host.into().to_string_lossy().into_owned(),
            container_path: container.to_owned(),
            ..Default::default()
        };
        change(&mut mount);
        self.config(|config| config.mounts.push(mount))
    }

    /// The request as it will be sent.
    #[must_use]
    pub fn request(&self) -> v1::CreateContainerRequest {
        v1::CreateContainerRequest {
            pod_sandbox_id: self.pod.id.clone(),
            config: Some(self.config.clone()),
            sandbox_config: Some(self.pod.config.clone()),
        }
    }

    /// Creates it, pulling its image if that is missing.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_create(self) -> Result<Container<'a>, Status> {
        let image = self.config.image.clone().unwrap_or_default().image;
        if !image.is_empty() && self.pod.daemon.image(&image).await.is_none() {
            self.pod.daemon.pull(&image).await?;
        }
        self.try_create_of_what_is_there().await
    }

    /// Creates it; what its image is called need not be an image's name.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_create_of_what_is_there(self) -> Result<Container<'a>, Status> {
        let response = self.pod.daemon.runtime().create_container(self.request()).await?;
        Ok(Container { pod: self.pod, id: response.into_inner().container_id, config: self.config })
    }

    /// Creates it.
    ///
    /// # Panics
    /// When the daemon refuses.
    pub async fn create(self) -> Container<'a> {
        self.try_create().await.expect("CreateContainer")
    }

    /// Creates and starts it.
    ///
    /// # Panics
    /// When the daemon refuses.
    pub async fn start(self) -> Container<'a> {
        let container = self.create().await;
        container.start().await.expect("StartContainer");
        container
    }

    /// Runs it to its end and answers what it wrote to stdout.
    ///
    /// # Panics
    /// When the daemon refuses, or it does not end with 0.
    pub async fn output(self) -> String {
        let container = self.start().await;
        let status = container.wait_exit().await;
        assert_eq!(status.exit_code, 0, "{} {}; stderr: {}", status.reason, status.message, container.stderr());
        container.stdout()
    }
}

/// What a command in a container left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A container.
#[derive(Clone)]
pub struct Container<'a> {
    /// The pod it is in.
    pub pod: Pod<'a>,
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub config: v1::ContainerConfig,
}

impl Container<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn start(&self) -> Result<(), Status> {
        let request = v1::StartContainerRequest { container_id: self.id.clone() };
        self.pod.daemon.runtime().start_container(request).await.map(drop)
    }

    /// Stops it, with a grace in seconds.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn stop(&self, timeout: i64) -> Result<(), Status> {
        let request = v1::StopContainerRequest { container_id: self.id.clone(), timeout };
        self.pod.daemon.runtime().stop_container(request).await.map(drop)
    }

    /// Changes its limits.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn update(&self, change: impl FnOnce(&mut v1::LinuxContainerResources)) -> Result<(), Status> {
        let mut linux = v1::LinuxContainerResources::default();
        change(&mut linux);
        let (container_id, linux) = (self.id.clone(), Some(linux));
        let request = v1::UpdateContainerResourcesRequest { container_id, linux, ..Default::default() };
        self.pod.daemon.runtime().update_container_resources(request).await.map(drop)
    }

    /// Removes it.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn remove(&self) -> Result<(), Status> {
        let request = v1::RemoveContainerRequest { container_id: self.id.clone() };
        self.pod.daemon.runtime().remove_container(request).await.map(drop)
    }

    /// Its status.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_status(&self) -> Result<v1::ContainerStatus, Status> {
        let request = v1::ContainerStatusRequest { container_id: self.id.clone(), verbose: false };
        let response = self.pod.daemon.runtime().container_status(request).await?;
        Ok(response.into_inner().status.expect("a status"))
    }

    /// Its status.
    ///
    /// # Panics
    /// When the daemon does not know it.
    pub async fn status(&self) -> v1::ContainerStatus {
        self.try_status().await.expect("ContainerStatus")
    }

    /// Its state.
    pub async fn state(&self) -> v1::ContainerState {
        self.status().await.state()
    }

    /// Waits for its end.
    pub async fn wait_exit(&self) -> v1::ContainerStatus {
        wait_some("the container ends", async || {
            let status = self.status().await;
            (status.state() == v1::ContainerState::ContainerExited).then_some(status)
        })
        .await
    }

    /// Runs a command in it, for at most so many seconds.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn try_exec(&self, command: &[&str], timeout: i64) -> Result<Output, Status> {
        let cmd = command.iter().map(|&part| part.to_owned()).collect();
        let request = v1::ExecSyncRequest { container_id: self.id.clone(), cmd, timeout };
        let answer = self.pod.daemon.runtime().exec_sync(request).await?.into_inner();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output { code: answer.exit_code, stdout: text(&answer.stdout), stderr: text(&answer.stderr) })
    }

    /// Runs a script in its shell and answers what it wrote to stdout.
    ///
    /// # Panics
    /// When the daemon refuses, or the script fails.
    pub async fn exec(&self, script: &str) -> String {
        let output = self.try_exec(&["/bin/sh", "-c", script], 20).await.expect("ExecSync");
        assert_eq!(output.code, 0, "{script}: {}", output.stderr);
        output.stdout
    }

    /// Where its log is.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        PathBuf::from(&self.pod.config.log_directory).join(&self.config.log_path)
    }

    /// The lines of its log.
    #[must_use]
    pub fn log(&self) -> Vec<Line> {
        log::read(&self.log_file())
    }

    /// What it has written to stdout, according to its log.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stream("stdout")
    }

    /// What it has written to stderr, according to its log.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stream("stderr")
    }

    fn stream(&self, name: &str) -> String {
        let lines = self.log().into_iter().filter(|line| line.stream == name);
        lines.map(|line| if line.partial { line.text } else { line.text + "\n" }).collect()
    }

    /// Waits until a line of its log contains a text.
    pub async fn wait_log(&self, text: &str) {
        wait_for(&format!("{text:?} in the log"), async || self.log().iter().any(|line| line.text.contains(text)))
            .await;
    }
}
