//! Runs a plugin: in a process group of its own, with a deadline, and with an end to what it may say.

use crate::bounds::{PLUGIN_COMPLAINTS, PLUGIN_OUTPUT};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How long a killed plugin may take to be gone, and how long its output may be held open by what it left running.
const MOMENT: Duration = Duration::from_millis(500);

/// How a plugin ended by itself.
pub(crate) struct PluginOutput {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// Why there is no such end.
pub(crate) enum ExecError {
    /// It could not be started, or not be talked to.
    Io(io::Error),
    /// The deadline passed.
    Slow,
    /// It writes without end.
    Talks,
    /// This process is to end.
    Stopped,
}

impl From<io::Error> for ExecError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs the program until it ends; kills it and what it started if it does not, or if `stop` comes first.
pub(crate) async fn run(
    program: &Path,
    environment: &[(&str, String)],
    input: &[u8],
    limit: Duration,
    stop: impl Future<Output = ()>,
) -> Result<PluginOutput, ExecError> {
    let mut command = Command::new(program);
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let mut child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let talk = talk(&mut child, input);
    let outcome = tokio::select! {
        ended = talk => ended,
        () = tokio::time::sleep(limit) => Err(ExecError::Slow),
        () = stop => Err(ExecError::Stopped),
    };
    if outcome.is_err() {
        if let Some(group) = group {
            // Gone already is fine.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // One that hangs in the kernel is left to the runtime, which reaps it when it is gone.
        let _ = tokio::time::timeout(MOMENT, child.wait()).await;
    }
    outcome
}

async fn talk(child: &mut Child, input: &[u8]) -> Result<PluginOutput, ExecError> {
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let give = async {
        // It need not read all of it, or anything.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let status = {
        let pipes = async { tokio::join!(give, take(stdout, &mut out), keep(stderr, &mut err)).1 };
        tokio::pin!(pipes);
        tokio::select! {
            biased;
            drained = &mut pipes => {
                drained?;
                child.wait().await?
            }
            status = child.wait() => {
                // What it left running may hold the pipes open for ever.
                if let Ok(drained) = tokio::time::timeout(MOMENT, &mut pipes).await {
                    drained?;
                }
                status?
            }
        }
    };
    Ok(PluginOutput { status, stdout: out, stderr: err })
}

async fn take(from: impl AsyncRead + Unpin, into: &mut Vec<u8>) -> Result<(), ExecError> {
    from.take(PLUGIN_OUTPUT + 1).read_to_end(into).await?;
    if into.len() as u64 > PLUGIN_OUTPUT { Err(ExecError::Talks) } else { Ok(()) }
}

/// Keeps the beginning, but reads on: a full pipe would stop the plugin.
async fn keep(mut from: impl AsyncRead + Unpin, into: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let room = PLUGIN_COMPLAINTS.saturating_sub(into.len()).min(length);
        into.extend_from_slice(&buffer[..room]);
    }
}
