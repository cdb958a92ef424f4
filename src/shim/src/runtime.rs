//! The OCI runtime, by its command line.

pub(crate) mod message;
mod sealed;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use peapod_shim_protocol::sealed::{ENV, NULL_ENV};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

pub(crate) use self::sealed::Sealed;
use crate::bounds::{INTERRUPTED_CALL, RUNTIME_CALL};
use crate::container::process::share_oom_score;
use crate::core::Core;
use crate::family;
use crate::reaper::Ended;

/// For a call that was killed to be gone.
const GONE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// Tells for which bundle a process of the OCI runtime works, also one that left its parent and has a command line of its own: the
/// path of a file in that bundle. A container never sees it.
pub(crate) const CALL_ENV: &str = "PEAPOD_CALL";
/// How much of a runtime's words is read.
const WORDS: u64 = 64 * 1024;

/// A call to the OCI runtime failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    #[error("can't run OCI runtime {program}: {source}", program = program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("{program} {action}: {words}")]
    Failed { program: String, action: &'static str, words: String },
    #[error("{program} {action} did not end within {} s and was killed", limit.as_secs())]
    Timeout { program: String, action: &'static str, limit: Duration },
    #[error("{program} {action} was still going on when it was to end, and was killed")]
    Interrupted { program: String, action: &'static str },
    #[error("can't read what OCI runtime wrote to {path}: {source}", path = path.display())]
    Answer { path: PathBuf, source: io::Error },
}

/// An OCI runtime.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    pub(crate) program: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) systemd_cgroup: bool,
}

/// One call of it.
pub(crate) struct Call<'a> {
    pub(crate) action: &'static str,
    pub(crate) args: Vec<&'a OsStr>,
    /// Standard streams: a container's own for `create` and `exec`.
    pub(crate) streams: Option<[Stdio; 3]>,
    pub(crate) stdin: Option<Stdio>,
    /// File for its words, made and removed by the call.
    pub(crate) words: PathBuf,
    /// It may take no longer.
    pub(crate) limit: Duration,
    /// Tells that what it works for is to end: then it has [`INTERRUPTED_CALL`] left.
    pub(crate) interrupt: Option<&'a Notify>,
    /// The process whose OOM score it begins with, and so all that it starts; else the shim's.
    pub(crate) oom_score_of: Option<u32>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(action: &'static str, words: PathBuf, args: &[&'a OsStr]) -> Self {
        let (streams, stdin, interrupt, oom_score_of) = (None, None, None, None);
        Self { action, args: args.to_vec(), streams, stdin, words, limit: RUNTIME_CALL, interrupt, oom_score_of }
    }

    /// The same, ended early when it is told so from now on.
    pub(crate) fn until(self, interrupt: &'a Notify) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }
}

impl Runtime {
    /// Runs it to its end.
    pub(crate) async fn call(&self, core: &Core, call: Call<'_>) -> Result<(), RuntimeError> {
        let (action, began) = (call.action, Instant::now());
        let outcome = self.run(core, &call.words.clone(), call).await;
        // Commands are many, and they are no stage of a container's life.
        if action != "exec" {
            crate::log::info("OCI runtime", &[("action", &action), ("us", &began.elapsed().as_micros())]);
        }
        outcome.inspect_err(|error| crate::log::warn("OCI runtime failed", &[("error", error)]))
    }

    async fn run(&self, core: &Core, words: &Path, call: Call<'_>) -> Result<(), RuntimeError> {
        let _words = Words(words);
        // From here on it is heard, also before anybody waits for it.
        let interrupted = call.interrupt.map(Notify::notified);
        let sealed = core.sealed.as_ref().and_then(|sealed| sealed.of(&self.program));
        let mut command = Command::new(sealed.as_ref().unwrap_or(&self.program));
        command.arg0(&self.program).env_remove(ENV).env_remove(NULL_ENV).env(CALL_ENV, words);
        if !self.root.as_os_str().is_empty() {
            command.arg("--root").arg(&self.root);
        }
        if self.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        command.arg("--log").arg(words).args(["--log-format", "json"]).arg(call.action).args(&call.args);
        let answer = |source| RuntimeError::Answer { path: words.to_path_buf(), source };
        match call.streams {
            Some([stdin, stdout, stderr]) => command.stdin(stdin).stdout(stdout).stderr(stderr),
            None => command
                .stdin(call.stdin.unwrap_or_else(Stdio::null))
                .stdout(Stdio::null())
                // What it says in its log and what it says aloud end in one file.
                .stderr(open_words(words).map_err(answer)?),
        };
        let spawned = core.reaper.spawn(&mut command);
        // The container's ends of its pipes: ours would keep them open.
        drop(command);
        let (pid, ended) = spawned.map_err(|source| RuntimeError::Spawn { program: self.program.clone(), source })?;
        if let Some(process) = call.oom_score_of {
            // It has its arguments and configuration to read before it starts anything.
            share_oom_score(process, pid);
        }
        let (action, limit) = (call.action, call.limit);
        let told = async {
            match interrupted {
                Some(interrupted) => interrupted.await,
                None => std::future::pending().await,
            }
            sleep(INTERRUPTED_CALL).await;
        };
        let mut ended = ended;
        let ended = tokio::select! {
            biased;
            ended = &mut ended => ended,
            () = told => {
                end(pid, ended).await;
                return Err(RuntimeError::Interrupted { program: self.name(), action });
            }
            () = sleep(limit) => {
                end(pid, ended).await;
                return Err(RuntimeError::Timeout { program: self.name(), action, limit });
            }
        };
        match ended {
            Ok(ended) if ended.code == 0 => Ok(()),
            Ok(ended) => {
                let text = read_words(words).map_err(answer)?;
                let words =
                    message::of_log(&text).unwrap_or_else(|| format!("exit code {}, without a word", ended.code));
                Err(RuntimeError::Failed { program: self.name(), action, words })
            }
            Err(_) => Err(RuntimeError::Failed { program: self.name(), action, words: "its end was lost".to_owned() }),
        }
    }

    /// Removes its directory of a container, as its own `delete` would as the last thing. crun and runc have it by that name.
    pub(crate) fn remove_state(&self, id: &str) {
        if self.root.as_os_str().is_empty() || crate::container::create::check_id(id).is_err() {
            return;
        }
        let dir = self.root.join(id);
        if let Err(error) = peapod_sys::remove_tree(&dir) {
            crate::log::warn("a runtime's state stays", &[("path", &dir.display()), ("error", &error)]);
        }
    }

    fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

/// Kills a call with all that it started. It is not reaped yet, so the number is still its own.
async fn end(pid: u32, ended: oneshot::Receiver<Ended>) {
    let mut killed = family::kill(pid);
    let gone = async {
        while !killed.are_gone() {
            sleep(PAUSE).await;
        }
        ended.await
    };
    if timeout(GONE, gone).await.is_err() {
        let stuck = crate::container::process::wait_channel(pid);
        crate::log::warn("a call of the OCI runtime won't die", &[("process", &stuck)]);
    }
}

/// A process number that the runtime wrote.
pub(crate) fn read_pid(path: &Path) -> Result<u32, RuntimeError> {
    let answer = |source| RuntimeError::Answer { path: path.to_path_buf(), source };
    let text = std::fs::read_to_string(path).map_err(answer)?;
    text.trim().parse().map_err(|_| answer(io::Error::new(io::ErrorKind::InvalidData, "no process number")))
}

fn open_words(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn read_words(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(WORDS).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Removes the file with the runtime's words.
struct Words<'a>(&'a Path);

impl Drop for Words<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}
