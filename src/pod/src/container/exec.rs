//! ExecSync: a command in a running container, with its output.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peapod_sys::fail_point;
use peapod_trace::Span;
use tokio::net::unix::pipe;
use tokio_util::task::TaskTracker;

use super::output::{Budget, Output, OutputSlot, OutputSlots};
use crate::cgroup_warm_up::CgroupWarmUp;
use crate::config::CurrentTimeouts;
use crate::error::Error;
use crate::id::ContainerId;
use crate::shim::{Shim, ShimError};
use crate::stages;
use crate::view::ContainerView;

/// How long a killed command may take to be gone.
const REAPED: Duration = Duration::from_secs(5);

/// Folder of a bundle with the pipes of its commands.
const DIR: &str = "exec";

/// A command to run.
#[derive(Clone, Debug)]
pub struct ExecRequest {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Bytes kept of each of stdout and stderr; the rest is read and dropped.
    pub limit: usize,
}

/// What a command left.
#[derive(Debug, Default)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// 0 to 255.
    pub exit_code: i32,
    /// The memory that much output takes, of which the node has little: to be kept as long as the output is.
    pub slot: Option<OutputSlot>,
}

/// What commands in containers work with.
#[derive(Debug)]
pub(crate) struct ExecOperations {
    pub(crate) warm_up: Arc<CgroupWarmUp>,
    pub(crate) timeouts: Arc<CurrentTimeouts>,
    /// Memory for what commands write.
    pub(crate) outputs: OutputSlots,
    /// Owner of what abandoned calls leave to be done.
    pub(crate) leftovers: TaskTracker,
}

impl ExecOperations {
    /// Runs a command. Dropping the future, or the time-out, kills it with everything in its session.
    pub(crate) async fn run(
        &self,
        shim: &Shim,
        container: &ContainerView,
        request: &ExecRequest,
        span: &Span,
    ) -> Result<ExecOutput, Error> {
        span.enter(&stages::RUNTIME_EXEC);
        self.warm_up.begin();
        let (id, bundle) = (&container.id, container.bundle.as_path());
        let process = process(container, &request.command, false).await?;
        let exec = Exec::new(self, shim, id, bundle)?;
        let pipes = exec.pipes()?;
        let stderr_path = exec.path("err");
        fail_point("exec-piped");
        shim.exec(id.as_str(), &exec.id, process, &exec.path("out"), &stderr_path)
            .await
            .map_err(|error| error.of_running(id, "exec"))?;
        fail_point("exec-asked");
        let run = async {
            let started = shim.start_exec(id.as_str(), &exec.id).await;
            started.map_err(|error| error.of_running(id, "start the command"))?;
            fail_point("exec-started");
            span.enter(&stages::COMMAND);
            self.collect(&exec, pipes, request.limit).await
        };
        let outcome = match request.timeout {
            None => run.await,
            Some(limit) => match tokio::time::timeout(limit, run).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    // Killed before the answer: a client that looks afterwards finds nothing of it.
                    exec.kill().await;
                    Err(Error::ExecTimeout(limit))
                }
            },
        };
        span.enter(&stages::COMMAND_END);
        if let Err(Error::OutputBusy(_)) = outcome {
            exec.kill().await;
        }
        fail_point("exec-ended");
        exec.finish().await;
        outcome
    }

    /// The exit code, and the output up to its end; what keeps the pipes open after the command ended is waited for a
    /// little.
    async fn collect(
        &self,
        exec: &Exec<'_>,
        pipes: (pipe::Receiver, pipe::Receiver),
        limit: usize,
    ) -> Result<ExecOutput, Error> {
        let budget = Budget::new(&self.outputs, exec.shim.outputs());
        let mut output = Output::default();
        let code = {
            let mut filled = std::pin::pin!(output.fill(&pipes.0, &pipes.1, limit, &budget));
            let mut exited = std::pin::pin!(exec.shim.wait_exec(exec.container.as_str(), &exec.id));
            let mut over = false;
            let code = loop {
                tokio::select! {
                    end = &mut filled, if !over => { end?; over = true; }
                    code = &mut exited => break code.map_err(|error| error.into_error("wait for the command"))?,
                }
            };
            while !over {
                let waits = budget.waits();
                match tokio::time::timeout(self.timeouts.get().exec_drain, &mut filled).await {
                    Ok(end) => {
                        end?;
                        over = true;
                    }
                    // There is more to read, only no room for it yet.
                    Err(_) if budget.waits() != waits || waits % 2 == 1 => {}
                    Err(_) => {
                        let container = exec.container.short();
                        tracing::debug!(container, "a command's output is held open by what it left behind");
                        break;
                    }
                }
            }
            code
        };
        let (stdout, stderr, slot) = output.into_parts();
        Ok(ExecOutput { stdout, stderr, exit_code: i32::try_from(code).unwrap_or(255), slot })
    }
}

/// What the OCI runtime is to make of a command, as JSON.
pub(crate) async fn process(container: &ContainerView, command: &[String], tty: bool) -> Result<Vec<u8>, Error> {
    let template = container.exec.template(&container.bundle).await?;
    let process = template.process(command, tty);
    process.map_err(|error| Error::Invalid { field: "cmd".to_owned(), reason: error.to_string() })
}

/// An exec that is under way. Dropped before it is finished, it is killed.
struct Exec<'a> {
    leftovers: &'a TaskTracker,
    shim: &'a Shim,
    container: &'a ContainerId,
    dir: PathBuf,
    id: String,
    finished: bool,
}

impl<'a> Exec<'a> {
    fn new(
        execs: &'a ExecOperations,
        shim: &'a Shim,
        container: &'a ContainerId,
        bundle: &Path,
    ) -> Result<Self, Error> {
        let id = ContainerId::random().map_err(|error| Error::failed("make an id", &error))?;
        let (id, dir) = (id.short().to_owned(), bundle.join(DIR));
        std::fs::create_dir_all(&dir).map_err(|error| Error::failed(format!("make {}", dir.display()), &error))?;
        Ok(Self { leftovers: &execs.leftovers, shim, container, dir, id, finished: false })
    }

    fn path(&self, stream: &str) -> PathBuf {
        self.dir.join(format!("{}.{stream}", self.id))
    }

    /// The reading ends. They are open before anyone writes, so no side ever waits for the other.
    fn pipes(&self) -> Result<(pipe::Receiver, pipe::Receiver), Error> {
        let make = |stream| {
            let path = self.path(stream);
            let mode = nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR;
            nix::unistd::mkfifo(&path, mode)?;
            pipe::OpenOptions::new().open_receiver(&path)
        };
        let failed = |error: std::io::Error| Error::failed("make the command's pipes", &error);
        Ok((make("out").map_err(failed)?, make("err").map_err(failed)?))
    }

    /// Kills the command and waits until it is reaped: until then it can still be seen in the container.
    async fn kill(&self) {
        let container = self.container.as_str();
        if let Err(error) = self.shim.kill_exec(container, &self.id).await {
            let container = self.container.short();
            tracing::warn!(container, %error, "a command that ran too long could not be killed");
            return;
        }
        if tokio::time::timeout(REAPED, self.shim.wait_exec(container, &self.id)).await.is_err() {
            tracing::warn!(container = self.container.short(), "a command that was killed does not end");
        }
    }

    async fn finish(mut self) {
        forget(self.shim, self.container, &self.id).await;
        // Not before: a client may leave now, too.
        self.finished = true;
    }
}

/// Ends the commands that an earlier daemon was running when it died: nobody waits for them any more.
pub(crate) async fn end_abandoned(shim: &Shim, container: &ContainerId, bundle: &Path) {
    let Ok(entries) = std::fs::read_dir(bundle.join(DIR)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let stem = path.file_stem().and_then(|name| name.to_str());
        if let (Some(exec), Some("out")) = (stem, path.extension().and_then(|name| name.to_str())) {
            if let Err(error) = shim.kill_exec(container.as_str(), exec).await {
                tracing::debug!(container = container.short(), %error, "an abandoned command could not be killed");
            }
            forget(shim, container, exec).await;
        }
        // Nobody reads it any more.
        let _ = std::fs::remove_file(&path);
    }
}

/// The shim may forget an exec.
async fn forget(shim: &Shim, container: &ContainerId, exec: &str) {
    match shim.delete_exec(container.as_str(), exec).await {
        Ok(()) | Err(ShimError::Gone(_)) => {}
        Err(error) => tracing::debug!(container = container.short(), %error, "an exec stays in its shim's list"),
    }
}

impl Drop for Exec<'_> {
    fn drop(&mut self) {
        for stream in ["out", "err"] {
            // Missing when it could not be made.
            let _ = std::fs::remove_file(self.path(stream));
        }
        if self.finished {
            return;
        }
        let (shim, container, id) = (self.shim.clone(), self.container.clone(), std::mem::take(&mut self.id));
        self.leftovers.spawn(async move {
            if let Err(error) = shim.kill_exec(container.as_str(), &id).await {
                tracing::debug!(container = container.short(), %error, "an abandoned command could not be killed");
            }
            forget(&shim, &container, &id).await;
        });
    }
}
