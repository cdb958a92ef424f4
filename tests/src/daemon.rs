//! One private daemon.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_api::v1;
use peapod_api::v1::image_service_client::ImageServiceClient;
use peapod_api::v1::runtime_service_client::RuntimeServiceClient;
use tonic::Status;
use tonic::transport::Channel;

use crate::test_env::TestEnv;
use crate::{Client, Options, PodBuilder, Programs, cleanup, fixture, leaks, wait_for};

/// A running `peapod serve` with state, sockets, network and cgroups of its own.
pub struct Daemon {
    env: TestEnv,
    options: Options,
    child: Mutex<Child>,
    client: Client,
}

impl Daemon {
    /// Starts a daemon and waits until it answers.
    pub(crate) async fn start(options: &Options) -> Self {
        let env = TestEnv::new(options);
        let child = spawn(&env, options, None);
        let client = Client::new(env.socket());
        let daemon = Self { env, options: options.clone(), child: Mutex::new(child), client };
        daemon.wait_ready().await;
        daemon
    }

    /// Kills it as nothing else does: with no moment to prepare for it.
    pub async fn kill(&self) {
        self.end(Signal::SIGKILL).await;
    }

    /// Starts it again, after [`Daemon::end`], on the same state.
    pub async fn start_again(&self) {
        self.begin_again(&self.options, None).await;
    }

    /// The same, this time with other settings.
    pub async fn start_again_with(&self, options: &Options) {
        self.begin_again(options, None).await;
    }

    /// The same with the settings of before, and it dies as by [`Daemon::kill`] when it comes to that place. A debug
    /// build's alone.
    pub async fn start_again_to_die_at(&self, fail_point: &str) {
        self.begin_again(&self.options, Some(fail_point)).await;
    }

    /// The same, and the first time that a driver or a step of it comes there, it panics. A debug build's alone.
    pub async fn start_again_to_panic_at(&self, fail_point: &str) {
        self.begin_again(&self.options, Some(&format!("panic:{fail_point}"))).await;
    }

    async fn begin_again(&self, options: &Options, fail_point: Option<&str>) {
        assert!(!self.is_alive(), "it still runs");
        let child = spawn(&self.env, options, fail_point);
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = child;
        self.wait_ready().await;
    }

    /// Waits until nothing of any pod is left: no process, mount, namespace, cgroup, link, rule, file, record.
    ///
    /// # Panics
    /// When something stays, naming it.
    pub async fn nothing_left(&self) {
        leaks::none(&self.env).await;
    }

    async fn wait_ready(&self) {
        wait_for("the daemon answers", async || {
            assert!(self.is_alive(), "peapod serve ended at once:\n{}", self.log_tail(20));
            self.runtime().version(v1::VersionRequest::default()).await.is_ok()
        })
        .await;
    }

    /// The runtime service.
    #[must_use]
    pub fn runtime(&self) -> RuntimeServiceClient<Channel> {
        self.client.runtime()
    }

    /// The image service.
    #[must_use]
    pub fn images(&self) -> ImageServiceClient<Channel> {
        self.client.images()
    }

    /// A pod to be described and run.
    #[must_use]
    pub fn pod(&self, name: &str) -> PodBuilder<'_> {
        PodBuilder::new(self, name)
    }

    /// Pulls an image (a name of the local registry, or a full reference) and answers its id.
    ///
    /// # Errors
    /// What the daemon answers.
    pub async fn pull(&self, image: &str) -> Result<String, Status> {
        let image = v1::ImageSpec { image: fixture(image), ..Default::default() };
        let request = v1::PullImageRequest { image: Some(image), ..Default::default() };
        Ok(self.images().pull_image(request).await?.into_inner().image_ref)
    }

    /// What the daemon knows about an image.
    pub async fn image(&self, image: &str) -> Option<v1::Image> {
        let image = v1::ImageSpec { image: fixture(image), ..Default::default() };
        let request = v1::ImageStatusRequest { image: Some(image), verbose: false };
        self.images().image_status(request).await.expect("ImageStatus").into_inner().image
    }

    /// A path in the test's own folder, which is gone afterwards.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.env.path(name)
    }

    /// The runtime handler of pods that name none.
    #[must_use]
    pub fn handler(&self) -> &'static str {
        self.options.handler_name()
    }

    /// The daemon's state root.
    #[must_use]
    pub fn state_root(&self) -> PathBuf {
        self.env.state_root()
    }

    /// The daemon's run root.
    #[must_use]
    pub fn run_root(&self) -> PathBuf {
        self.env.run_root()
    }

    /// The daemon's CRI socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.env.socket()
    }

    /// The cgroup above those of pods which name none.
    #[must_use]
    pub fn cgroup(&self) -> String {
        self.env.cgroup()
    }

    /// The cgroup of its shims.
    #[must_use]
    pub fn shims_cgroup(&self) -> String {
        self.env.shims_cgroup()
    }

    /// The first three numbers of its pods' addresses.
    #[must_use]
    pub fn subnet(&self) -> String {
        self.env.subnet()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        let pid = self.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        i32::try_from(pid).unwrap()
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        matches!(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }

    /// Sends the daemon a signal and waits for its end.
    pub async fn end(&self, signal: Signal) {
        if self.is_alive() {
            self.signal(signal);
        }
        wait_for("the daemon ends", async || !self.is_alive()).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(self.env.path("peapod.log")).unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// All pods in any state.
    pub async fn pods(&self) -> Vec<v1::PodSandbox> {
        self.client.pods().await.expect("ListPodSandbox")
    }

    /// All containers in any state.
    pub async fn containers(&self) -> Vec<v1::Container> {
        self.client.containers().await.expect("ListContainers")
    }

    /// Removes the pods that are left, holds that nothing stays, ends the daemon, and holds that again.
    pub(crate) async fn finish(&self) {
        if self.is_alive() {
            for pod in self.pods().await {
                let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id };
                self.runtime().remove_pod_sandbox(request).await.expect("RemovePodSandbox");
            }
            leaks::none(&self.env).await;
        }
        self.end(Signal::SIGTERM).await;
        leaks::none_after_the_end(&self.env).await;
    }
}

fn spawn(env: &TestEnv, options: &Options, fail_point: Option<&str>) -> Child {
    let peapod = &Programs::get().peapod;
    let mut command = match &options.started_by {
        None => Command::new(peapod),
        Some(script) => {
            let mut shell = Command::new("bash");
            shell.arg("-c").arg(format!("{script} \"$0\" \"$@\"")).arg(peapod);
            shell
        }
    };
    command.arg("serve").arg("--config").arg(env.config());
    for setting in &options.settings {
        command.arg("--set").arg(setting);
    }
    if let Some(name) = fail_point {
        command.env("PEAPOD_FAIL_POINT", name);
    }
    let log = File::options().create(true).append(true).open(env.path("peapod.log")).unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("peapod does not start")
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
        cleanup::all(&self.env);
    }
}
