//! Running the OCI runtime's program to its end: one rule for time, interruption and messages, whatever it is called
//! for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use peapod_shim_protocol::sealed::{NULL_ENV, RUNTIME_ENV};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::binary::Binary;
use super::command::RuntimeCommand;
use super::error::RuntimeError;
use super::message;
use super::sealed::Sealed;
use crate::bounds::INTERRUPTED_CALL;
use crate::reaper::{ExitStatus, Reaper};
use crate::{family, log, proc};

/// Tells for which bundle a process of the OCI runtime works, also one that left its parent and has a command line of
/// its own: the path of a file in that bundle. A container never sees it.
pub(crate) const CALL_ENV: &str = "PEAPOD_CALL";
/// How long a call that was killed may take to be gone; then the log names what it waits for.
const GONE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// Bytes of a runtime's messages that are read.
const MESSAGES: u64 = 64 * 1024;

/// Starts OCI runtimes. Clones share what it has.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeLauncher {
    reaper: Reaper,
    sealed: Option<Arc<Sealed>>,
}

/// One call of a runtime.
pub(super) struct RuntimeCall<'a> {
    pub(super) action: RuntimeCommand<'a>,
    /// The container.
    pub(super) id: &'a str,
    /// File in the bundle for the runtime's messages, made and removed by the call.
    pub(super) log: &'a Path,
    pub(super) streams: CallStreams,
    /// Tells that what it works for is to end: then it has [`INTERRUPTED_CALL`] left.
    pub(super) interrupt: &'a Notify,
    /// The process whose OOM score it begins with, and so all that it starts; else the shim's.
    pub(super) oom_score_of: Option<u32>,
}

/// Its standard streams.
pub(super) enum CallStreams {
    /// Nothing to read; what it says aloud goes to the log.
    Own,
    /// The same with something to read.
    Input(File),
    /// Nothing to read; its answer goes into that file.
    Answer(File),
    /// Those of the process that it makes.
    OfProcess([Stdio; 3]),
}

impl RuntimeLauncher {
    pub(crate) fn new(reaper: Reaper, sealed: Option<Sealed>) -> Self {
        Self { reaper, sealed: sealed.map(Arc::new) }
    }

    pub(crate) fn reaper(&self) -> &Reaper {
        &self.reaper
    }

    /// Runs a call to its end.
    pub(super) async fn run(&self, binary: &Binary, call: RuntimeCall<'_>) -> Result<(), RuntimeError> {
        let (action, began) = (call.action.name(), Instant::now());
        let _messages = Messages(call.log);
        let outcome = self.run_logged(binary, call).await;
        // Commands are many, and they are no stage of a container's life.
        if action != "exec" {
            log::info("OCI runtime", &[("action", &action), ("us", &began.elapsed().as_micros())]);
        }
        outcome.inspect_err(|error| log::warn("OCI runtime failed", &[("error", error)]))
    }

    async fn run_logged(&self, binary: &Binary, call: RuntimeCall<'_>) -> Result<(), RuntimeError> {
        // From here on it is heard, also before anybody waits for it.
        let interrupt = call.interrupt.notified();
        let (action, limit, messages) = (call.action.name(), call.action.limit(), call.log);
        let (pid, mut ended) = self.spawn(binary, call)?;
        let interrupted = async {
            interrupt.await;
            sleep(INTERRUPTED_CALL).await;
        };
        let ended = tokio::select! {
            biased;
            ended = &mut ended => ended,
            () = interrupted => {
                end(pid, ended).await;
                return Err(RuntimeError::Interrupted { program: binary.name(), action });
            }
            () = sleep(limit) => {
                end(pid, ended).await;
                return Err(RuntimeError::Timeout { program: binary.name(), action, limit });
            }
        };
        let failed = |message| RuntimeError::Failed { program: binary.name(), action, message };
        match ended {
            Ok(ended) if ended.code == 0 => Ok(()),
            Ok(ended) => {
                let text = read_messages(messages).map_err(RuntimeError::answer(messages))?;
                let silent = || format!("exit code {}, without a message", ended.code);
                Err(failed(message::of_log(&text).unwrap_or_else(silent)))
            }
            Err(_) => Err(failed("its end was lost".to_owned())),
        }
    }

    fn spawn(
        &self,
        binary: &Binary,
        call: RuntimeCall<'_>,
    ) -> Result<(u32, oneshot::Receiver<ExitStatus>), RuntimeError> {
        let sealed = self.sealed.as_ref().and_then(|sealed| sealed.of(&binary.program));
        let mut command = Command::new(sealed.as_ref().unwrap_or(&binary.program));
        command.arg0(&binary.program).env_remove(RUNTIME_ENV).env_remove(NULL_ENV).env(CALL_ENV, call.log);
        command.args(call.action.arguments(binary, call.log, call.id));
        let stdin = match call.streams {
            CallStreams::OfProcess([stdin, stdout, stderr]) => {
                command.stdout(stdout).stderr(stderr);
                stdin
            }
            CallStreams::Own => aloud(&mut command, call.log)?,
            CallStreams::Answer(file) => {
                let stdin = aloud(&mut command, call.log)?;
                command.stdout(file);
                stdin
            }
            CallStreams::Input(file) => aloud(&mut command, call.log).map(|_| file.into())?,
        };
        let spawned = self.reaper.spawn(command.stdin(stdin));
        // The process's ends of its pipes: ours would keep them open.
        drop(command);
        let spawned = spawned.map_err(|source| RuntimeError::Spawn { program: binary.program.clone(), source })?;
        if let Some(process) = call.oom_score_of {
            // It has its arguments and configuration to read before it starts anything.
            proc::share_oom_score(process, spawned.0);
        }
        Ok(spawned)
    }
}

/// What it says in its log and what it says aloud end in one file.
fn aloud(command: &mut Command, log: &Path) -> Result<Stdio, RuntimeError> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log);
    command.stdout(Stdio::null()).stderr(file.map_err(RuntimeError::answer(log))?);
    Ok(Stdio::null())
}

/// Kills a call with all that it started. It is not reaped yet, so the number is still its own.
async fn end(pid: u32, ended: oneshot::Receiver<ExitStatus>) {
    let mut killed = family::kill(pid);
    let gone = async {
        while !killed.are_gone() {
            sleep(PAUSE).await;
        }
        ended.await
    };
    if timeout(GONE, gone).await.is_err() {
        log::warn("a call of the OCI runtime won't die", &[("process", &proc::wait_channel(pid))]);
    }
}

fn read_messages(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MESSAGES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Removes the file with the runtime's messages.
struct Messages<'a>(&'a Path);

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
