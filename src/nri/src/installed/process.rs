//! The process of an installed plugin.

use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;
use peapod_sys::{BOUND_SOCKET, spawn_bound};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use super::files::InstalledFile;

/// A plugin's process with all that it started. Dropped, it is killed; so it is when the daemon dies.
#[derive(Debug)]
pub(crate) struct PluginProcess {
    pub(crate) group: ProcessGroup,
    /// Both outputs.
    pub(crate) output: pipe::Receiver,
    /// How it ended.
    pub(crate) ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// The processes of a plugin, until the first of them is reaped: then the number may be another's.
#[derive(Clone, Debug)]
pub(crate) struct ProcessGroup(Arc<Mutex<Option<Pid>>>);

impl ProcessGroup {
    pub(crate) fn kill(&self) {
        if let Some(group) = *lock(&self.0) {
            // Gone already is fine.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Waits for the first process, kills what it left, and reaps it. Blocks.
    fn reap(&self, mut child: Child) -> io::Result<ExitStatus> {
        let pid = Pid::from_child(&child);
        while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
        {
        }
        let mut group = lock(&self.0);
        let _ = kill_process_group(pid, Signal::KILL);
        *group = None;
        child.wait()
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        self.group.kill();
    }
}

impl PluginProcess {
    /// Starts it with its end of the connection. A thread of its own waits for it: the kernel kills it when that
    /// thread is gone.
    pub(crate) async fn start(file: &InstalledFile, its_end: UnixStream) -> io::Result<Self> {
        let (output, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(output.into())?;
        let mut command = Command::new(&file.path);
        // What containerd gives, and nothing of the daemon's own.
        command.env_clear().envs([
            ("NRI_PLUGIN_NAME", file.name.name()),
            ("NRI_PLUGIN_IDX", file.name.index()),
            ("NRI_PLUGIN_SOCKET", BOUND_SOCKET.to_string().as_str()),
        ]);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        command.current_dir("/").process_group(0);
        let (start, started) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let group = ProcessGroup(Arc::default());
        let of_thread = group.clone();
        let thread = std::thread::Builder::new().name(format!("nri-{}", file.name.index()));
        thread.spawn(move || match spawn_bound(command, its_end) {
            Ok(child) => {
                *lock(&of_thread.0) = Some(Pid::from_child(&child));
                let pid = child.id();
                // The daemon is the last that the kernel takes when memory is short; its plugins are as others are.
                let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
                if start.send(Ok(())).is_err() {
                    // Nobody wants it any more.
                    of_thread.kill();
                }
                let _ = end.send(of_thread.reap(child));
            }
            Err(error) => drop(start.send(Err(error))),
        })?;
        started.await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
        Ok(Self { group, output, ended })
    }
}
