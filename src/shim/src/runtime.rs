//! The OCI runtime: all that is asked of it, as functions of one type. That it is a program with a command line is
//! known below this file alone, so that one without can stand beside it.

mod binary;
mod command;
mod error;
mod guest;
mod launcher;
pub(crate) mod message;
mod sealed;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

pub(crate) use self::binary::Binary;
pub(crate) use self::error::RuntimeError;
pub(crate) use self::guest::{GuestProcess, GuestSignal};
pub(crate) use self::launcher::{CALL_ENV, RuntimeLauncher};
pub(crate) use self::sealed::Sealed;
use crate::files;
use crate::reaper::ExitStatus;
use command::RuntimeCommand;
use launcher::{CallStreams, RuntimeCall};

/// File in a container's bundle with its process number.
pub(crate) const PID_FILE: &str = "pid";

/// An OCI runtime that can be called.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    launcher: RuntimeLauncher,
    binary: Binary,
}

/// The container that a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) id: &'a str,
    pub(crate) bundle: &'a Path,
    /// Told when the call is to end early: it then has [`crate::bounds::INTERRUPTED_CALL`] left.
    pub(crate) interrupt: &'a Notify,
}

/// A container to be made of its bundle.
pub(crate) struct CreateOptions<'a> {
    /// Socket that the terminal is sent to, if there is to be one.
    pub(crate) console: Option<&'a Path>,
    pub(crate) streams: [Stdio; 3],
    /// It gets a keyring of its own, else the shim's.
    pub(crate) new_keyring: bool,
    /// Files of a checkpoint: its process then goes on where it was, at once.
    pub(crate) checkpoint: Option<&'a Path>,
}

/// A command in a running container.
pub(crate) struct ExecOptions<'a> {
    /// Of the exec.
    pub(crate) id: &'a str,
    /// An OCI process, as JSON.
    pub(crate) process: &'a [u8],
    /// Socket that the terminal is sent to, if there is to be one.
    pub(crate) console: Option<&'a Path>,
    pub(crate) streams: [Stdio; 3],
    /// The container's first process: the command begins with its OOM score.
    pub(crate) init: u32,
    pub(crate) place: ExecPlace,
}

/// Where a command begins.
#[derive(Clone, Debug)]
pub(crate) enum ExecPlace {
    /// In the container's group.
    Container,
    /// In a group below that.
    Group(String),
    /// In a sandbox of the runtime's, where processes have numbers of their own.
    Sandbox,
}

/// A process that the runtime has made.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    /// Its number inside of the runtime's sandbox, if that is another one.
    pub(crate) inner: Option<u32>,
    /// Its end, which may have come already.
    pub(crate) ended: oneshot::Receiver<ExitStatus>,
}

impl Runtime {
    pub(crate) fn new(launcher: RuntimeLauncher, binary: Binary) -> Self {
        Self { launcher, binary }
    }

    /// Makes a container of the bundle's `config.json`; its process waits to be started, or, of a checkpoint, runs.
    pub(crate) async fn create(&self, target: Target<'_>, request: CreateOptions<'_>) -> Result<Child, RuntimeError> {
        let pid_file = target.bundle.join(PID_FILE);
        let CreateOptions { console, streams, new_keyring, checkpoint } = request;
        let (bundle, pid_file) = (target.bundle, &*pid_file);
        let action = match checkpoint {
            None => RuntimeCommand::Create { bundle, pid_file, console, new_keyring },
            Some(images) => {
                let work = images.parent().unwrap_or(images);
                RuntimeCommand::Restore { bundle, pid_file, console, images, work }
            }
        };
        self.make(action, target, action.name(), CallStreams::OfProcess(streams), None, pid_file).await
    }

    /// Has the created process execute its program.
    pub(crate) async fn start(&self, target: Target<'_>) -> Result<(), RuntimeError> {
        self.call(RuntimeCommand::Start, target).await
    }

    /// Makes another process in the container.
    pub(crate) async fn exec(&self, target: Target<'_>, request: ExecOptions<'_>) -> Result<Child, RuntimeError> {
        let name = format!("exec-{}", request.id);
        let file = |suffix: &str| target.bundle.join(format!("{name}.{suffix}"));
        let (process, pid_file, inner) = (file("json"), file("pid"), file("inner"));
        let _files = Files([&process, &pid_file, &inner]);
        files::write(&process, request.process).map_err(RuntimeError::input(&process))?;
        let (group, inner_pid_file) = match &request.place {
            ExecPlace::Container => (None, None),
            ExecPlace::Group(group) => (Some(&**group), None),
            ExecPlace::Sandbox => (None, Some(&*inner)),
        };
        let console = request.console;
        let action = RuntimeCommand::Exec { process: &process, pid_file: &pid_file, console, group, inner_pid_file };
        let streams = CallStreams::OfProcess(request.streams);
        let mut child = self.make(action, target, &name, streams, Some(request.init), &pid_file).await?;
        if inner_pid_file.is_some() {
            child.inner = Some(read_pid(&inner).map_err(RuntimeError::answer(&inner))?);
        }
        Ok(child)
    }

    /// Changes a container's limits; `resources` is an OCI object, as JSON.
    pub(crate) async fn update(&self, target: Target<'_>, resources: &[u8]) -> Result<(), RuntimeError> {
        let path = target.bundle.join("resources.json");
        let _files = Files([&path]);
        files::write(&path, resources).map_err(RuntimeError::input(&path))?;
        let streams = CallStreams::Input(File::open(&path).map_err(RuntimeError::input(&path))?);
        self.run(RuntimeCommand::Update, target, "update", streams, None).await
    }

    /// Stops all processes of the container.
    pub(crate) async fn pause(&self, target: Target<'_>) -> Result<(), RuntimeError> {
        self.call(RuntimeCommand::Pause, target).await
    }

    /// Lets them go on.
    pub(crate) async fn resume(&self, target: Target<'_>) -> Result<(), RuntimeError> {
        self.call(RuntimeCommand::Resume, target).await
    }

    /// Writes the container's processes into the folder `images`, within that time; they go on. `work` gets the notes
    /// that are left of it.
    pub(crate) async fn checkpoint(
        &self,
        target: Target<'_>,
        images: &Path,
        work: &Path,
        limit: Duration,
    ) -> Result<(), RuntimeError> {
        self.call(RuntimeCommand::Checkpoint { images, work, limit }, target).await
    }

    /// Has it forget a container of which nothing runs. What it then still knows is but a folder of its own, and the
    /// log says what is wrong with it: if it does not remove that, we do.
    pub(crate) async fn delete(&self, target: Target<'_>) {
        // Nothing runs, so no force is needed, which costs: runc sends KILL then and looks again after 100 ms.
        for force in [false, true] {
            match self.call(RuntimeCommand::Delete { force }, target).await {
                Ok(()) => return,
                Err(RuntimeError::Failed { .. }) => {}
                // One that hangs once hangs twice.
                Err(_) => break,
            }
        }
        let Some(dir) = self.binary.state_dir(target.id) else { return };
        if let Err(error) = peapod_sys::remove_tree(&dir) {
            crate::log::warn("a runtime's state stays", &[("path", &dir.display()), ("error", &error)]);
        }
    }

    async fn call(&self, action: RuntimeCommand<'_>, target: Target<'_>) -> Result<(), RuntimeError> {
        self.run(action, target, action.name(), CallStreams::Own, None).await
    }

    /// A call that makes a process, whose number it writes into a file.
    async fn make(
        &self,
        action: RuntimeCommand<'_>,
        target: Target<'_>,
        name: &str,
        streams: CallStreams,
        oom_score_of: Option<u32>,
        pid_file: &Path,
    ) -> Result<Child, RuntimeError> {
        // From here on the process's end may come before its number.
        let expectation = self.launcher.reaper().expect();
        self.run(action, target, name, streams, oom_score_of).await?;
        let pid = read_pid(pid_file).map_err(RuntimeError::answer(pid_file))?;
        Ok(Child { pid, inner: None, ended: expectation.claim(pid) })
    }

    async fn run(
        &self,
        action: RuntimeCommand<'_>,
        target: Target<'_>,
        name: &str,
        streams: CallStreams,
        oom_score_of: Option<u32>,
    ) -> Result<(), RuntimeError> {
        let log = target.bundle.join(format!("{name}.log"));
        let Target { id, interrupt, .. } = target;
        self.launcher.run(&self.binary, RuntimeCall { action, id, log: &log, streams, interrupt, oom_score_of }).await
    }
}

fn read_pid(path: &Path) -> io::Result<u32> {
    let text = std::fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "no process number"))
}

/// Files that one call alone needs.
struct Files<'a, const N: usize>([&'a PathBuf; N]);

impl<const N: usize> Drop for Files<'_, N> {
    fn drop(&mut self) {
        for path in self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
