//! Calls to a shim, each with its deadline.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peapod_shim_protocol::containerd::api;
use peapod_shim_protocol::containerd::protobuf::well_known_types::any::Any;
use peapod_shim_protocol::containerd::protobuf::{Message, MessageField};
use peapod_shim_protocol::containerd::sandbox_async::SandboxClient;
use peapod_shim_protocol::containerd::shim_async::TaskClient;
use peapod_shim_protocol::containerd::ttrpc::asynchronous::Client;
use peapod_shim_protocol::containerd::ttrpc::asynchronous::transport::Socket;
use peapod_shim_protocol::containerd::ttrpc::context;
use peapod_shim_protocol::extension;
use peapod_shim_protocol::extension_ttrpc::ExtensionClient;
use peapod_shim_protocol::{PROCESS_URL, PROTOCOL, RESOURCES_URL, TASK_OPTIONS_URL};
use peapod_spec::UserNamespace;
use tokio::net::UnixStream;

use super::task_options::{NewVolume, TaskCgroup, delegation, labelled, lower, mapping, text, volume};
use super::{ShimError, version};
use crate::bounds::CHECKPOINT_TIME_MAX;
use crate::container::OutputSlots;

/// Calls that only look or set something.
pub(super) const QUICK: Duration = Duration::from_secs(10);
/// Calls that run the OCI runtime or wait for the kernel.
pub(super) const SLOW: Duration = Duration::from_secs(120);
/// While a long call is awaited.
const BETWEEN_HELLOS: Duration = Duration::from_secs(1);
/// How long one Watch waits for an event: the longest that a shim waits. Of pods that do nothing these calls are most
/// of what a daemon at rest does, and a shim that hangs is noticed by each call for which somebody waits.
const WATCH: Duration = Duration::from_secs(300);

/// A connection to a pod's shim. Clones share it.
#[derive(Clone)]
pub(crate) struct Shim {
    pub(super) inner: Arc<ShimClients>,
}

pub(super) struct ShimClients {
    pub(super) task: TaskClient,
    pub(super) sandbox: SandboxClient,
    pub(super) extension: ExtensionClient,
    socket: PathBuf,
    outputs: OutputSlots,
}

impl std::fmt::Debug for Shim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shim").field("socket", &self.inner.socket).finish_non_exhaustive()
    }
}

/// Layers of a root file system.
#[derive(Debug)]
pub(crate) struct Overlay {
    /// Top layer first.
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    /// Those of the pod, if it has some of its own: what the layers hold is theirs.
    pub(crate) users: Option<UserNamespace>,
    /// The SELinux label of all that is in it, and in images that are mounted beside it.
    pub(crate) label: Option<String>,
}

/// The OCI runtime that makes a container.
#[derive(Debug)]
pub(crate) struct TaskRuntime {
    pub(crate) path: PathBuf,
    /// Where it keeps its state.
    pub(crate) root: PathBuf,
    /// Cgroups are made by systemd; else by the runtime itself.
    pub(crate) systemd_cgroup: bool,
    /// Before its commands.
    pub(crate) arguments: Vec<String>,
    /// The id of the container that begins its sandbox, if it needs one. The bundle of that lies beside the
    /// container's.
    pub(crate) root_container: Option<String>,
}

/// A container's process to be.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: Overlay,
    pub(crate) volumes: Vec<NewVolume>,
    pub(crate) terminal: bool,
    pub(crate) stdin: Option<PathBuf>,
    pub(crate) log: Option<String>,
    /// Bytes per second by which the log may grow; 0 for any.
    pub(crate) log_rate: u64,
    pub(crate) runtime: TaskRuntime,
    /// As its configuration has it.
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) cgroup: TaskCgroup,
    /// CRIU's files that it is made of: its process then goes on where it was.
    pub(crate) checkpoint: Option<PathBuf>,
}

/// What a shim says about a container's process.
#[derive(Debug)]
pub(crate) enum TaskState {
    /// Not started, or just being started.
    Created,
    Running {
        pid: u32,
    },
    Ended,
}

/// A call with its deadline, on both sides: the shim's, by the request's own time-out, and ours.
macro_rules! call {
    ($name:literal, $limit:expr, $client:expr, $method:ident, $request:expr) => {{
        let limit: std::time::Duration = $limit;
        $client
            .$method(context::with_duration(limit), &$request)
            .await
            .map_err(|error| ShimError::of($name, limit, error))
    }};
}
pub(super) use call;

impl Shim {
    /// Connects to a shim's socket.
    pub(crate) async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self::speak(UnixStream::connect(socket).await?, socket))
    }

    /// The same over a connection to it that exists; a non-blocking one.
    pub(crate) fn over(stream: std::os::unix::net::UnixStream, socket: &Path) -> io::Result<Self> {
        Ok(Self::speak(UnixStream::from_std(stream)?, socket))
    }

    fn speak(stream: UnixStream, socket: &Path) -> Self {
        let client = Client::new(Socket::new(stream));
        Self {
            inner: Arc::new(ShimClients {
                task: TaskClient::new(client.clone()),
                sandbox: SandboxClient::new(client.clone()),
                extension: ExtensionClient::new(client),
                socket: socket.to_path_buf(),
                outputs: OutputSlots::of_pod(),
            }),
        }
    }

    /// Memory for what commands of the pod write.
    pub(crate) fn outputs(&self) -> &OutputSlots {
        &self.inner.outputs
    }

    /// What the shim says of itself and its pod. An error if it is one that this daemon can't drive.
    pub(crate) async fn hello(&self) -> Result<extension::HelloResponse, ShimError> {
        let request = extension::HelloRequest { protocol: PROTOCOL, ..Default::default() };
        let hello = call!("Hello", QUICK, self.inner.extension, hello, request)?;
        version::check(&hello).map_err(ShimError::Foreign)?;
        Ok(hello)
    }

    /// Waits for a call that may take long, as long as the shim answers others. One that does not, hangs itself, and is
    /// as good as gone.
    pub(crate) async fn while_it_answers<T>(
        &self,
        call: impl Future<Output = Result<T, ShimError>>,
    ) -> Result<T, ShimError> {
        let hangs = async {
            loop {
                tokio::time::sleep(BETWEEN_HELLOS).await;
                let limit = QUICK / 2;
                if tokio::time::timeout(limit, self.hello()).await.is_err() {
                    return format!("it answers nothing within {} s", limit.as_secs());
                }
            }
        };
        tokio::select! {
            biased;
            answer = call => answer,
            reason = hangs => Err(ShimError::Gone(reason)),
        }
    }

    /// Events after `after`, which acknowledges all up to there; none when nothing happened for a while.
    pub(crate) async fn watch(&self, after: u64) -> Result<Vec<extension::Event>, ShimError> {
        let wait_ms = u32::try_from(WATCH.as_millis()).unwrap_or(u32::MAX);
        let request = extension::WatchRequest { after, wait_ms, ..Default::default() };
        Ok(call!("Watch", WATCH + QUICK, self.inner.extension, watch, request)?.events)
    }

    /// Mounts the root file system and has the OCI runtime create the container.
    pub(crate) async fn create(&self, task: NewTask) -> Result<u32, ShimError> {
        let limit = if task.checkpoint.is_some() { CHECKPOINT_TIME_MAX + SLOW } else { SLOW };
        let (users, label) = (task.rootfs.users, task.rootfs.label);
        let options = extension::TaskOptions {
            runtime: text(&task.runtime.path),
            runtime_root: text(&task.runtime.root),
            systemd_cgroup: task.runtime.systemd_cgroup,
            runtime_arguments: task.runtime.arguments,
            root_container: task.runtime.root_container.unwrap_or_default(),
            log_rate: task.log_rate,
            oom_score_adj: task.oom_score_adj,
            cgroup: task.cgroup.path,
            delegation: delegation(task.cgroup.owner).into(),
            volumes: task.volumes.into_iter().map(|new| volume(new, users, label.clone())).collect(),
            ..Default::default()
        };
        let mut overlay = lower(&task.rootfs.lower);
        overlay.push(format!("upperdir={}", text(&task.rootfs.upper)));
        overlay.push(format!("workdir={}", text(&task.rootfs.work)));
        overlay.extend(mapping(users).chain(labelled(label)));
        // The upper layer is worthless after a crash of the node: nothing has to be synced when it is unmounted.
        overlay.push("volatile".to_owned());
        let log = task.log.unwrap_or_default();
        let request = api::CreateTaskRequest {
            id: task.id,
            bundle: text(&task.bundle),
            rootfs: vec![api::Mount {
                type_: "overlay".to_owned(),
                source: "overlay".to_owned(),
                options: overlay,
                ..Default::default()
            }],
            terminal: task.terminal,
            stdin: task.stdin.as_deref().map(text).unwrap_or_default(),
            stderr: if task.terminal { String::new() } else { log.clone() },
            stdout: log,
            checkpoint: task.checkpoint.as_deref().map(text).unwrap_or_default(),
            options: any(TASK_OPTIONS_URL, encode(&options)?),
            ..Default::default()
        };
        Ok(call!("Create", limit, self.inner.task, create, request)?.pid)
    }

    /// Starts a created container; answers its PID.
    pub(crate) async fn start_task(&self, id: &str) -> Result<u32, ShimError> {
        start(self, id, "").await
    }

    /// Starts a prepared exec; answers its PID.
    pub(crate) async fn start_exec(&self, id: &str, exec: &str) -> Result<u32, ShimError> {
        start(self, id, exec).await
    }

    /// Removes an ended container from the OCI runtime, its cgroup and root file system. One that is unknown is fine.
    pub(crate) async fn delete_task(&self, id: &str) -> Result<(), ShimError> {
        delete(self, id, "").await
    }

    /// Has the shim forget an ended exec. One that is unknown is fine.
    pub(crate) async fn delete_exec(&self, id: &str, exec: &str) -> Result<(), ShimError> {
        delete(self, id, exec).await
    }

    /// Whether a container's process runs.
    pub(crate) async fn state(&self, id: &str) -> Result<TaskState, ShimError> {
        let request = api::StateRequest { id: id.to_owned(), ..Default::default() };
        let answer = call!("State", QUICK, self.inner.task, state, request)?;
        Ok(match answer.status.enum_value() {
            Ok(api::Status::RUNNING | api::Status::PAUSED | api::Status::PAUSING) => {
                TaskState::Running { pid: answer.pid }
            }
            Ok(api::Status::STOPPED) => TaskState::Ended,
            _ => TaskState::Created,
        })
    }

    /// Sends the stop signal once and sets, or brings forward, the moment of the KILL.
    pub(crate) async fn stop(&self, id: &str, signal: u32, deadline_boottime_ns: i64) -> Result<(), ShimError> {
        let request =
            extension::StopRequest { container_id: id.to_owned(), signal, deadline_boottime_ns, ..Default::default() };
        match call!("Stop", QUICK, self.inner.extension, stop, request) {
            // It ended by itself; its exit is on the way.
            Ok(_) | Err(ShimError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn reopen_log(&self, id: &str) -> Result<(), ShimError> {
        let request = extension::ReopenLogRequest { container_id: id.to_owned(), ..Default::default() };
        call!("ReopenLog", QUICK, self.inner.extension, reopen_log, request).map(drop)
    }

    /// Changes limits; `resources` is an OCI object in JSON.
    pub(crate) async fn update(&self, id: &str, resources: Vec<u8>) -> Result<(), ShimError> {
        let request = api::UpdateTaskRequest {
            id: id.to_owned(),
            resources: any(RESOURCES_URL, resources),
            ..Default::default()
        };
        call!("Update", SLOW, self.inner.task, update, request).map(drop)
    }

    /// Prepares an exec. `process` is an OCI object in JSON; stdout and stderr are FIFOs.
    pub(crate) async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: Vec<u8>,
        stdout: &Path,
        stderr: &Path,
    ) -> Result<(), ShimError> {
        let request = api::ExecProcessRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            stdout: text(stdout),
            stderr: text(stderr),
            spec: any(PROCESS_URL, process),
            ..Default::default()
        };
        call!("Exec", QUICK, self.inner.task, exec, request).map(drop)
    }

    /// Waits for an exec's end; answers its exit code. Has no deadline: the caller has one.
    pub(crate) async fn wait_exec(&self, id: &str, exec: &str) -> Result<u32, ShimError> {
        let request = api::WaitRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
        let answer = self.inner.task.wait(context::Context::default(), &request).await;
        Ok(answer.map_err(|error| ShimError::of("Wait", Duration::MAX, error))?.exit_status)
    }

    /// Kills an exec with everything that it started in its session.
    pub(crate) async fn kill_exec(&self, id: &str, exec: &str) -> Result<(), ShimError> {
        let request = api::KillRequest {
            id: id.to_owned(),
            exec_id: exec.to_owned(),
            signal: 9,
            all: true,
            ..Default::default()
        };
        match call!("Kill", QUICK, self.inner.task, kill, request) {
            Ok(_) | Err(ShimError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Starts an exec, or, with an empty exec id, the container itself: containerd has one call for both. Answers the PID.
async fn start(shim: &Shim, id: &str, exec: &str) -> Result<u32, ShimError> {
    let request = api::StartRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
    Ok(call!("Start", SLOW, shim.inner.task, start, request)?.pid)
}

/// Deletes an ended exec, or, with an empty exec id, the container's task. One that is gone is success.
async fn delete(shim: &Shim, id: &str, exec: &str) -> Result<(), ShimError> {
    let request = api::DeleteRequest { id: id.to_owned(), exec_id: exec.to_owned(), ..Default::default() };
    match call!("Delete", SLOW, shim.inner.task, delete, request) {
        Ok(_) | Err(ShimError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn any(url: &str, value: Vec<u8>) -> MessageField<Any> {
    MessageField::some(Any { type_url: url.to_owned(), value, ..Default::default() })
}

pub(super) fn encode(message: &impl Message) -> Result<Vec<u8>, ShimError> {
    message.write_to_bytes().map_err(|error| ShimError::Refused(format!("a request can't be encoded: {error}")))
}
