//! A container of the fake runtime: a process, and its log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use peapod_api::v1;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;

/// A started process.
pub(super) struct Process {
    pid: i32,
    /// Its exit code, once it has ended and its log is written.
    pub(super) exit: watch::Receiver<Option<i32>>,
    log: Arc<Mutex<File>>,
}

fn open(log: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(log)
}

impl Process {
    pub(super) fn start(config: &v1::ContainerConfig, log: &Path) -> std::io::Result<Self> {
        let argv: Vec<&String> = config.command.iter().chain(&config.args).collect();
        let mut command = Command::new(argv[0]);
        command.args(&argv[1..]).stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).process_group(0);
        for variable in &config.envs {
            command.env(&variable.key, String::from_utf8(variable.value.to_vec()).unwrap());
        }
        for mount in &config.mounts {
            command.env(format!("AT_{}", mount.container_path.trim_start_matches('/')), &mount.host_path);
        }
        let mut child = command.kill_on_drop(true).spawn()?;
        let log = Arc::new(Mutex::new(open(log)?));
        let own = Arc::clone(&log);
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, exit) = watch::channel(None);
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        tokio::spawn(async move {
            tokio::join!(copy(out, "stdout", &log), copy(err, "stderr", &log));
            let status = child.wait().await.unwrap();
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            sender.send_replace(Some(status.code().unwrap_or_else(|| 128 + signal.unwrap())));
        });
        Ok(Self { pid, exit, log: own })
    }

    /// Writes on into the file that has this name now.
    pub(super) fn reopen(&self, log: &Path) {
        *self.log.lock().unwrap() = open(log).unwrap();
    }

    pub(super) fn signal(&self, signal: nix::sys::signal::Signal) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.pid), signal);
    }
}

async fn copy(from: impl AsyncRead + Unpin, stream: &str, log: &Mutex<File>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut log = log.lock().unwrap();
        log.write_all(format!("2026-01-01T00:00:00.000000001Z {stream} F {line}\n").as_bytes()).unwrap();
    }
}
