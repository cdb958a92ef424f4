//! containerd's Task service.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse,
    DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
    ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, StatsRequest, StatsResponse, Status, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::shim_async::Task;
use peapod_shim_protocol::extension::{self, CheckpointOptions, TaskOptions, Volume};
use peapod_shim_protocol::{CHECKPOINT_OPTIONS_URL, PROCESS_URL, RESOURCES_URL, TASK_OPTIONS_URL};
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use ttrpc::r#async::TtrpcContext;

use super::Service;
use crate::bundle::check_id;
use crate::clock::timestamp;
use crate::container::OciContainer;
use crate::container::checkpoint;
use crate::container::create::{CreateRequest, Delegation};
use crate::container::mounts::WantedMount;
use crate::container::state::Phase;
use crate::error::Error;
use crate::older;
use crate::runtime::Binary;
use crate::stdio::Uris;
use crate::stdio::exec_streams::ExecStreams;

/// The value of a field of that type.
fn of_type(any: Option<&Any>, field: &'static str, url: &str) -> Result<Vec<u8>, Error> {
    let any = any.ok_or_else(|| Error::Invalid { field, why: "is missing".to_owned() })?;
    // Both forms of a type URL are in use.
    if any.type_url.trim_start_matches("type.googleapis.com/") != url {
        return Err(Error::Invalid { field, why: format!("is of type {:?}; {url:?} is understood", any.type_url) });
    }
    Ok(any.value.clone())
}

fn create_request(request: CreateTaskRequest) -> Result<CreateRequest, Error> {
    let options = of_type(request.options.as_ref(), "options", TASK_OPTIONS_URL)?;
    let options = TaskOptions::parse_from_bytes(&options)
        .map_err(|error| Error::Invalid { field: "options", why: error.to_string() })?;
    let bundle = PathBuf::from(request.bundle);
    Ok(CreateRequest {
        oom_score_adj: options.oom_score_adj.or_else(|| older::oom_score_adj(&bundle)),
        cgroup: Some(options.cgroup).filter(|path| !path.is_empty()),
        delegation: options.delegation.into_option().map(delegation).transpose()?,
        root: Some(options.root_container).filter(|id| !id.is_empty()),
        checkpoint: Some(request.checkpoint).filter(|path| !path.is_empty()).map(PathBuf::from),
        id: request.id,
        bundle,
        rootfs: request
            .rootfs
            .into_iter()
            .map(|mount| WantedMount { kind: mount.type_, source: mount.source, options: mount.options })
            .collect(),
        volumes: options.volumes.into_iter().map(volume).collect::<Result<_, _>>()?,
        uris: Uris {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            log_rate: options.log_rate,
        },
        runtime: Binary {
            program: options.runtime.into(),
            root: options.runtime_root.into(),
            systemd_cgroup: options.systemd_cgroup,
            arguments: arguments(options.runtime_arguments)?,
        },
    })
}

/// Each stands in a line of a file.
fn arguments(arguments: Vec<String>) -> Result<Vec<String>, Error> {
    match arguments.iter().find(|argument| argument.is_empty() || argument.contains(['\n', '\0'])) {
        None => Ok(arguments),
        Some(wrong) => Err(Error::Invalid { field: "options", why: format!("{wrong:?} is no argument of a runtime") }),
    }
}

fn volume(volume: Volume) -> Result<(String, WantedMount), Error> {
    if volume.name.is_empty() || !volume.name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let why = format!("a volume's name {:?} must be letters and digits", volume.name);
        return Err(Error::Invalid { field: "options", why });
    }
    Ok((volume.name, WantedMount { kind: volume.type_, source: volume.source, options: volume.options }))
}

fn delegation(given: extension::Delegation) -> Result<Delegation, Error> {
    if given.leaf.is_empty() || !given.leaf.bytes().all(|byte| byte.is_ascii_lowercase()) {
        let why = format!("a group's name {:?} must be letters", given.leaf);
        return Err(Error::Invalid { field: "options", why });
    }
    Ok(Delegation { leaf: given.leaf, owner: (given.uid, given.gid) })
}

fn status(phase: Phase) -> Status {
    match phase {
        Phase::Created | Phase::Starting { .. } => Status::CREATED,
        Phase::Running { .. } => Status::RUNNING,
        Phase::Paused { .. } => Status::PAUSED,
        Phase::StartFailed { .. } | Phase::Exited { .. } => Status::STOPPED,
    }
}

fn state_of(container: &OciContainer) -> StateResponse {
    let phase = container.phase();
    let exit = phase.exit();
    StateResponse {
        id: container.id().to_owned(),
        bundle: container.init.bundle.to_string_lossy().into_owned(),
        pid: container.init.pid,
        status: status(phase).into(),
        stdin: container.uris.stdin.clone(),
        stdout: container.uris.stdout.clone(),
        stderr: container.uris.stderr.clone(),
        terminal: container.uris.terminal,
        exit_status: exit.map_or(0, |exit| exit.code),
        exited_at: timestamp(exit.map_or(0, |exit| exit.finished_at)),
        ..StateResponse::default()
    }
}

#[async_trait]
impl Task for Service {
    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        let container = self.shim.containers.get(&request.id)?;
        let mut state = state_of(&container);
        if !request.exec_id.is_empty() {
            let exec = container.execs.get(&request.exec_id)?;
            let ended = exec.ended();
            state.pid = exec.pid();
            state.status = match ended {
                Some(_) => Status::STOPPED,
                None if exec.is_running() => Status::RUNNING,
                None => Status::CREATED,
            }
            .into();
            let uris = exec.streams.uris();
            (state.stdin, state.stdout, state.stderr, state.terminal) =
                (uris.stdin, uris.stdout, uris.stderr, uris.terminal);
            state.exit_status = ended.map_or(0, |ended| ended.code);
            state.exited_at = timestamp(ended.map_or(0, |ended| ended.at));
            state.exec_id = request.exec_id;
        }
        Ok(state)
    }

    async fn create(&self, _: &TtrpcContext, request: CreateTaskRequest) -> ttrpc::Result<CreateTaskResponse> {
        let request = create_request(request)?;
        let container = self.work(|shim| async move { shim.containers.create(request).await }).await?;
        Ok(CreateTaskResponse { pid: container.init.pid, ..CreateTaskResponse::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> ttrpc::Result<StartResponse> {
        let container = self.shim.containers.get(&request.id)?;
        let pid = if request.exec_id.is_empty() {
            let pid = container.init.pid;
            self.work(|shim| async move { shim.containers.start(&container).await }).await?;
            pid
        } else {
            let exec = container.execs.get(&request.exec_id)?;
            let started = exec.clone();
            self.work(|shim| async move { shim.containers.start_exec(&container, &started).await.map(drop) }).await?;
            exec.pid()
        };
        Ok(StartResponse { pid, ..StartResponse::default() })
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        let container = match self.shim.containers.get(&request.id) {
            Err(error @ Error::NotFound { .. }) if request.exec_id.is_empty() && check_id(&request.id).is_ok() => {
                // Of a create that failed there may be something left, and then it is still here for its master.
                self.work(|shim| async move { shim.containers.delete_leftovers(&request.id).await }).await?;
                return Err(error.into());
            }
            other => other?,
        };
        if !request.exec_id.is_empty() {
            let exec = container.execs.delete(&request.exec_id)?;
            let ended = exec.ended();
            return Ok(DeleteResponse {
                pid: exec.pid(),
                exit_status: ended.map_or(0, |ended| ended.code),
                exited_at: timestamp(ended.map_or(0, |ended| ended.at)),
                ..DeleteResponse::default()
            });
        }
        let deleted = container.clone();
        self.work(|shim| async move { shim.containers.delete(&container).await }).await?;
        let exit = deleted.phase().exit();
        Ok(DeleteResponse {
            pid: deleted.init.pid,
            exit_status: exit.map_or(0, |exit| exit.code),
            exited_at: timestamp(exit.map_or(0, |exit| exit.finished_at)),
            ..DeleteResponse::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, request: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let container = self.shim.containers.get(&request.id)?;
        let processes =
            container.init.pids()?.into_iter().map(|pid| ProcessInfo { pid, ..ProcessInfo::default() }).collect();
        Ok(PidsResponse { processes, ..PidsResponse::default() })
    }

    async fn pause(&self, _: &TtrpcContext, request: PauseRequest) -> ttrpc::Result<Empty> {
        let container = self.shim.containers.get(&request.id)?;
        self.work(|_| async move { container.pause().await }).await?;
        Ok(Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, request: ResumeRequest) -> ttrpc::Result<Empty> {
        let container = self.shim.containers.get(&request.id)?;
        self.work(|_| async move { container.resume().await }).await?;
        Ok(Empty::new())
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> ttrpc::Result<Empty> {
        let container = self.shim.containers.get(&request.id)?;
        if request.exec_id.is_empty() {
            container.kill(request.signal, request.all)?;
        } else {
            container.execs.get(&request.exec_id)?.kill(&container.init, request.signal, request.all)?;
        }
        Ok(Empty::new())
    }

    async fn exec(&self, _: &TtrpcContext, request: ExecProcessRequest) -> ttrpc::Result<Empty> {
        let process = of_type(request.spec.as_ref(), "spec", PROCESS_URL)?;
        let uris = Uris {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
            log_rate: 0,
        };
        self.shim.containers.get(&request.id)?.execs.prepare(&request.exec_id, process, ExecStreams::Uris(uris))?;
        Ok(Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, request: ResizePtyRequest) -> ttrpc::Result<Empty> {
        let container = self.shim.containers.get(&request.id)?;
        container.resize(&request.exec_id, request.width, request.height)?;
        Ok(Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, request: CloseIORequest) -> ttrpc::Result<Empty> {
        let container = self.shim.containers.get(&request.id)?;
        if request.exec_id.is_empty() {
            container.close_stdin();
        } else {
            container.execs.get(&request.exec_id)?.close_stdin();
        }
        Ok(Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, request: UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let resources = of_type(request.resources.as_ref(), "resources", RESOURCES_URL)?;
        let container = self.shim.containers.get(&request.id)?;
        self.work(|_| async move { container.update(&resources).await }).await?;
        Ok(Empty::new())
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> ttrpc::Result<WaitResponse> {
        let container = self.shim.containers.get(&request.id)?;
        let (code, at) = if request.exec_id.is_empty() {
            let exit = container.wait().await;
            (exit.code, exit.finished_at)
        } else {
            container.execs.get(&request.exec_id)?.wait().await.map_or((255, 0), |ended| (ended.code, ended.at))
        };
        Ok(WaitResponse { exit_status: code, exited_at: timestamp(at), ..WaitResponse::default() })
    }

    async fn connect(&self, _: &TtrpcContext, request: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        // The pod itself, or one of its containers.
        let task_pid = match self.shim.containers.get(&request.id) {
            Ok(container) => container.init.pid,
            Err(_) => self.shim.sandbox.init_pid(),
        };
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(ConnectResponse { shim_pid: std::process::id(), task_pid, version, ..ConnectResponse::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, request: ShutdownRequest) -> ttrpc::Result<Empty> {
        // containerd asks after every container; the pod's own end comes by ShutdownSandbox.
        if request.now && request.id == self.shim.sandbox.id {
            self.shim.end();
        }
        Ok(Empty::new())
    }

    async fn stats(&self, _: &TtrpcContext, _: StatsRequest) -> ttrpc::Result<StatsResponse> {
        Self::unsupported("Stats: the daemon reads cgroups itself, and so it")
    }

    async fn checkpoint(&self, _: &TtrpcContext, request: CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        let options = of_type(request.options.as_ref(), "options", CHECKPOINT_OPTIONS_URL)?;
        let options = CheckpointOptions::parse_from_bytes(&options)
            .map_err(|error| Error::Invalid { field: "options", why: error.to_string() })?;
        let container = self.shim.containers.get(&request.id)?;
        let images = PathBuf::from(request.path);
        let limit = Duration::from_millis(u64::from(options.limit_ms));
        self.work(|_| async move { checkpoint::checkpoint(container, &images, Path::new(&options.work), limit).await })
            .await?;
        Ok(Empty::new())
    }
}
