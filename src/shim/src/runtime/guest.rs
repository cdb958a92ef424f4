//! What an OCI runtime is asked about containers in a sandbox of its own: their processes are none of the node's, so
//! that streams, signals and ends go by its command line.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use super::command::{RuntimeCommand, Whom};
use super::error::RuntimeError;
use super::launcher::CallStreams;
use super::{Files, PID_FILE, Runtime, Target, read_pid};
use crate::files;

/// A signal to processes of such a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GuestSignal {
    pub(crate) signal: i32,
    pub(crate) whom: GuestProcess,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GuestProcess {
    First,
    All,
    /// By its number in the sandbox.
    One(u32),
}

impl Runtime {
    /// Makes a container of the bundle's `config.json` in the sandbox that it names. Answers the number of the
    /// sandbox's own process.
    pub(crate) async fn create_guest(&self, target: Target<'_>, console: Option<&Path>) -> Result<u32, RuntimeError> {
        let pid_file = target.bundle.join(PID_FILE);
        let (bundle, pid_file) = (target.bundle, &*pid_file);
        self.call(RuntimeCommand::Create { bundle, pid_file, console, new_keyring: true }, target).await?;
        read_pid(pid_file).map_err(RuntimeError::answer(pid_file))
    }

    /// Has it execute its program, with these streams.
    pub(crate) async fn start_guest(&self, target: Target<'_>, streams: [Stdio; 3]) -> Result<(), RuntimeError> {
        self.run(RuntimeCommand::Start, target, "start", CallStreams::OfProcess(streams), None).await
    }

    /// Sends a signal.
    pub(crate) async fn signal_guest(&self, target: Target<'_>, signal: GuestSignal) -> Result<(), RuntimeError> {
        let (number, pid);
        let whom = match signal.whom {
            GuestProcess::First => Whom::First,
            GuestProcess::All => Whom::All,
            GuestProcess::One(inner) => {
                pid = inner.to_string();
                Whom::Process(&pid)
            }
        };
        number = signal.signal.to_string();
        self.call(RuntimeCommand::Kill { signal: &number, whom }, target).await
    }

    /// Waits for its end, however long that takes; answers the exit code, which is 128 + n for signal n.
    pub(crate) async fn wait_guest(&self, target: Target<'_>) -> Result<u32, RuntimeError> {
        let path = target.bundle.join("wait.json");
        let _files = Files([&path]);
        let file = File::create(&path).map_err(RuntimeError::input(&path))?;
        self.run(RuntimeCommand::Wait, target, "wait", CallStreams::Answer(file), None).await?;
        let text = files::text(&path).unwrap_or_default();
        exit_code(&text).ok_or_else(|| {
            let unclear = std::io::Error::new(std::io::ErrorKind::InvalidData, "no exit status");
            RuntimeError::answer(&path)(unclear)
        })
    }
}

/// `{"id":"c1","exitStatus":7}`.
fn exit_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("\"exitStatus\":")?;
    let rest = rest.trim_start();
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn an_exit_is_read() {
        for (text, code) in [
            ("{\"id\":\"c1\",\"exitStatus\":7}\n", Some(7)),
            ("{\"id\": \"c1\", \"exitStatus\": 137}", Some(137)),
            ("{\"exitStatus\":-1}", None),
            ("{\"id\":\"c1\"}", None),
            ("", None),
        ] {
            assert_eq!(exit_code(text), code, "{text}");
        }
    }
}
