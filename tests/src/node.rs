//! Processes of the node, seen from outside of pods.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use peapod_shim_protocol::containerd::shim_async::TaskClient;
use peapod_shim_protocol::containerd::ttrpc::asynchronous::Client;
use peapod_shim_protocol::containerd::ttrpc::asynchronous::transport::Socket;

use crate::{Daemon, Pod};

impl Daemon {
    /// Asks the daemon to end, as a service manager does.
    pub async fn end_gracefully(&self) {
        self.end(Signal::SIGTERM).await;
    }

    /// Asks the daemon to read its configuration again.
    pub fn reload(&self) {
        self.signal(Signal::SIGHUP);
    }
}

impl Pod<'_> {
    /// Its shim.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn shim_pid(&self) -> i32 {
        let wanted = format!("-id\0{}\0", self.id);
        let mut found = commands().filter(|(_, line)| line.contains(&wanted)).map(|(pid, _)| pid);
        found.next().expect("the pod has no shim")
    }

    /// The socket on which its shim listens.
    #[must_use]
    pub fn shim_socket(&self) -> PathBuf {
        self.daemon.run_root().join("s").join(&self.id[..16])
    }

    /// Its shim's containers, past the daemon: what CRI has no call for.
    ///
    /// # Panics
    /// When the shim does not listen.
    pub async fn task(&self) -> TaskClient {
        let stream = tokio::net::UnixStream::connect(self.shim_socket()).await.expect("the shim does not listen");
        TaskClient::new(Client::new(Socket::new(stream)))
    }

    /// Its PID 1.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn init_pid(&self) -> i32 {
        let file = self.daemon.run_root().join("pods").join(&self.id).join("init.pid");
        std::fs::read_to_string(file).expect("the pod has no init").trim().parse().unwrap()
    }
}

/// Kills a process of the node at once. One that is gone is fine.
pub fn kill(pid: i32) {
    let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// How many processes of the node have this command line.
#[must_use]
pub fn processes(command: &str) -> usize {
    let wanted = command.replace(' ', "\0") + "\0";
    commands().filter(|(_, line)| *line == wanted).count()
}

/// How many processes have that word in their command lines.
pub(crate) fn processes_naming(word: &str) -> usize {
    commands().filter(|(_, line)| line.split('\0').any(|found| found == word)).count()
}

/// Number and command line of every process; words end with a zero byte.
fn commands() -> impl Iterator<Item = (i32, String)> {
    std::fs::read_dir(Path::new("/proc")).unwrap().flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, String::from_utf8_lossy(&std::fs::read(entry.path().join("cmdline")).ok()?).into_owned()))
    })
}
