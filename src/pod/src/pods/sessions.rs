//! Sessions of exec, attach and port-forward. What a client is promised is looked at when it asks, and again when it
//! has come: then the pod's shim opens the session at the streaming server, and from there on it is between these two.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use peapod_streaming_protocol::CommandStreams;
use peapod_sys::Program;

use super::Pods;
use crate::container;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::shim::{SessionAddress, SessionCalls, Shim, ShimError};
use crate::view::{ContainerView, PodState};

/// A command whose streams a client has.
#[derive(Clone, Debug)]
pub struct ExecSession {
    /// Program and arguments; not empty.
    pub command: Vec<String>,
    /// One at least; no stderr of a terminal.
    pub streams: CommandStreams,
    /// The command goes on when its client has gone; else it is killed with all of its session.
    pub leave: bool,
}

impl Pods {
    /// Whether a command can be started in a container now.
    ///
    /// # Errors
    /// When the container does not run, its pod's shim opens no sessions, or no process can be like that.
    pub async fn check_exec(&self, id: &ContainerId, session: &ExecSession) -> Result<(), Error> {
        let (shim, container) = self.running(id).await?;
        container::process(&container, &session.command, session.streams.tty).await?;
        check(&shim, &container.pod).await
    }

    /// Has a command started whose streams belong to the session there. The server is told what becomes of it.
    ///
    /// # Errors
    /// As [`Pods::check_exec`]; then the server has heard nothing. When the shim does not answer it may have.
    pub async fn open_exec(
        &self,
        id: &ContainerId,
        session: &ExecSession,
        address: &SessionAddress,
    ) -> Result<(), Error> {
        self.execs.warm_up.begin();
        let (shim, container) = self.running(id).await?;
        let process = container::process(&container, &session.command, session.streams.tty).await?;
        let exec = ContainerId::random().map_err(|error| Error::failed("make an id", &error))?;
        let (calls, ids) = (SessionCalls(&shim), (id.as_str(), exec.short()));
        let opened = calls.open_exec(address, ids, process, session.streams, session.leave);
        opened.await.map_err(|error| error.into_error("open the session"))
    }

    /// The container, if it can be attached to now.
    ///
    /// # Errors
    /// When it does not run, or its pod's shim opens no sessions.
    pub async fn check_attach(&self, id: &ContainerId) -> Result<Arc<ContainerView>, Error> {
        let (shim, container) = self.running(id).await?;
        check(&shim, &container.pod).await?;
        Ok(container)
    }

    /// Has a container's output and input passed on to the session there.
    ///
    /// # Errors
    /// As [`Pods::check_attach`], and as [`Pods::open_exec`].
    pub async fn open_attach(
        &self,
        id: &ContainerId,
        streams: CommandStreams,
        address: &SessionAddress,
    ) -> Result<(), Error> {
        let (shim, container) = self.running(id).await?;
        let calls = SessionCalls(&shim);
        let opened = calls.open_attach(address, id.as_str(), streams, container.spec.stdin_once);
        opened.await.map_err(|error| error.into_error("open the session"))
    }

    /// Whether ports of a pod can be connected to now.
    ///
    /// # Errors
    /// When it is not ready, or its shim opens no sessions.
    pub async fn check_port_forward(&self, id: &PodId) -> Result<(), Error> {
        check(&*self.ready(id).await?, id).await
    }

    /// Has ports of a pod connected to for the session there.
    ///
    /// # Errors
    /// As [`Pods::check_port_forward`], and as [`Pods::open_exec`].
    pub async fn open_port_forward(&self, id: &PodId, address: &SessionAddress) -> Result<(), Error> {
        let shim = self.ready(id).await?;
        SessionCalls(&shim)
            .open_port_forward(address, id.as_str())
            .await
            .map_err(|error| error.into_error("open the session"))
    }

    /// Starts a program that outlives the daemon, in the shims' cgroup; answers its PID.
    ///
    /// # Errors
    /// What the system says: then nothing was started.
    pub async fn start_beside_shims(&self, program: Program, stdin: OwnedFd) -> std::io::Result<u32> {
        self.actors.sandboxes.launcher.launch_program(program, stdin).await
    }

    /// The shim of a ready pod, once that is recovered.
    async fn ready(&self, id: &PodId) -> Result<Arc<Shim>, Error> {
        let mut handle = self.actor(id)?;
        handle.recovered().await;
        let snapshot = self.snapshot();
        let entry = snapshot.pod(id).ok_or_else(|| Error::no_pod(id.as_str()))?;
        let state = match (entry.pod.state, handle.shim()) {
            (PodState::Ready, Some(shim)) => return Ok(shim),
            (PodState::Ready, None) => "without a shim that this peapod can ask",
            (PodState::NotReady, _) => "not ready",
        };
        let need = "this needs a ready pod";
        Err(Error::Precondition { what: "pod sandbox", id: id.to_string(), state: state.to_owned(), need })
    }
}

async fn check(shim: &Shim, pod: &PodId) -> Result<(), Error> {
    match SessionCalls(shim).are_served().await {
        Ok(true) => Ok(()),
        Ok(false) | Err(ShimError::Unsupported(_)) => Err(Error::Precondition {
            what: "pod sandbox",
            id: pod.to_string(),
            state: "run by the shim of an earlier version of peapod".to_owned(),
            need: "exec, attach and port-forward need a newer one: make the pod anew",
        }),
        Err(error) => Err(error.into_error("ask the pod's shim")),
    }
}
