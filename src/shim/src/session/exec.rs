//! A command whose streams a client has.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;

use peapod_streaming_protocol::{CommandStreams, ToSession};
use tokio::task::JoinSet;

use super::{OpenSession, SessionPlace};
use crate::container::OciContainer;
use crate::container::exec::ExecProcess;
use crate::error::Error;
use crate::log;
use crate::shim::PodShim;
use crate::stdio::copy;
use crate::stdio::exec_streams::ExecStreams;
use crate::stdio::handed::HandedStreams;
use crate::tasks;

/// What the master asks for.
pub(crate) struct ExecSessionRequest {
    pub(crate) address: SessionPlace,
    pub(crate) container: String,
    /// Its id from now on.
    pub(crate) exec: String,
    /// An OCI process, as JSON.
    pub(crate) process: Vec<u8>,
    pub(crate) streams: CommandStreams,
    /// The command goes on when its client has gone.
    pub(crate) leave: bool,
}

/// A command of a session. Nobody else forgets it.
struct SessionCommand {
    shim: Arc<PodShim>,
    container: Arc<OciContainer>,
    exec: Arc<ExecProcess>,
    leave: bool,
}

impl ExecSessionRequest {
    /// Opens the session. The command is then started, and seen to its end, by a task that nobody waits for.
    pub(crate) async fn open(self, shim: Arc<PodShim>) -> Result<(), Error> {
        let container = shim.containers.get(&self.container)?;
        container.check_running()?;
        let exec = container.execs.prepare(&self.exec, self.process, ExecStreams::Session(self.streams))?;
        let session = match shim.sessions.open(&self.address).await {
            Ok(session) => session,
            Err(error) => {
                container.execs.remove(&exec.id);
                return Err(error);
            }
        };
        tasks::spawn(SessionCommand { shim, container, exec, leave: self.leave }.run(session));
        Ok(())
    }
}

impl SessionCommand {
    async fn run(self, session: OpenSession) {
        if let Some(outputs) = self.run_with(session).await {
            // One that was left goes on for as long as it likes, and whatever it says is read.
            let mut discarded = JoinSet::new();
            for output in outputs {
                discarded.spawn(copy::discard(output));
            }
            self.exec.wait().await;
        }
        self.container.execs.remove(&self.exec.id);
    }

    /// Until the command has ended or the client has gone; answers the outputs that nobody reads any more of a command
    /// that is left. `None`: there is no command.
    async fn run_with(&self, session: OpenSession) -> Option<Vec<OwnedFd>> {
        let mut size = None;
        let mut starting = pin!(tasks::outcome(self.start()));
        let started = tokio::select! {
            biased;
            started = &mut starting => started,
            () = session.until_gone(|wanted| size = Some(wanted)) => {
                drop(session);
                self.client_has_gone();
                return starting.await.ok().map(|handed| self.left(&handed));
            }
        };
        match started {
            Ok(handed) => Some(self.serve(session, handed, size).await),
            Err(error) => {
                drop(session.end(ToSession::Failed { text: error.to_string() }).await);
                None
            }
        }
    }

    /// What the shim keeps of what a session gets.
    fn left(&self, handed: &HandedStreams) -> Vec<OwnedFd> {
        if self.leave { handed.outputs() } else { Vec::new() }
    }

    /// Goes on when nobody waits for it: a call of the runtime is seen to its end.
    fn start(&self) -> impl Future<Output = Result<HandedStreams, Error>> + Send + 'static {
        let (shim, container, exec) = (self.shim.clone(), self.container.clone(), self.exec.clone());
        async move { shim.containers.start_exec(&container, &exec).await }
    }

    async fn serve(&self, session: OpenSession, handed: HandedStreams, size: Option<(u16, u16)>) -> Vec<OwnedFd> {
        if let Some(size) = size {
            self.resize(size);
        }
        let started = ToSession::Started { streams: handed.streams() };
        let told = session.tell(&started, &handed.ends()).await;
        let left = self.left(&handed);
        // The session has them: that it closes one is an end.
        drop(handed);
        let ended = tokio::select! {
            biased;
            ended = self.exec.wait(), if told => ended,
            () = session.until_gone(|size| self.resize(size)) => None,
        };
        match ended {
            Some(ended) => {
                drop(session.end(ToSession::Exited { code: ended.code }).await);
                Vec::new()
            }
            None => {
                drop(session);
                self.client_has_gone();
                left
            }
        }
    }

    fn resize(&self, (width, height): (u16, u16)) {
        // A command without a terminal has no size, and one that has just ended needs none.
        let _ = self.container.resize(&self.exec.id, width.into(), height.into());
    }

    fn client_has_gone(&self) {
        if !self.leave {
            self.exec.kill_session(&self.container.init);
        }
        log::info("a command's client has gone", &[("container", &self.container.id()), ("exec", &self.exec.id)]);
    }
}
