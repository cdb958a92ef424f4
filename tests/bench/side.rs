//! Something that answers CRI: a daemon that is started, killed and ended here, or an endpoint that is there.

mod containerd;
mod peapod;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::UnixStream;

use crate::cri::{Cri, Pods};
use crate::options::{Options, variable};

/// How long a daemon may take to come and to go.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Peapod,
    Containerd,
    /// Not ours.
    Endpoint(PathBuf),
}

/// One side of the table.
pub(crate) struct Side {
    kind: Kind,
    name: String,
    dir: PathBuf,
    pods: Pods,
    child: Option<Child>,
}

impl Side {
    pub(crate) fn new(kind: Kind, options: &Options) -> Result<Self> {
        let (name, handler) = match &kind {
            Kind::Peapod => ("peapod".to_owned(), options.runtime.clone()),
            Kind::Containerd => ("containerd".to_owned(), options.runtime.clone()),
            Kind::Endpoint(path) => (path.display().to_string(), String::new()),
        };
        let folder = if matches!(kind, Kind::Endpoint(_)) { "endpoint" } else { &name };
        let dir = Path::new(&variable("NODE_DIR")?).join("bench").join(folder);
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let pods = Pods { image: options.image()?, handler, seccomp: options.seccomp, logs: dir.join("logs") };
        let side = Self { kind, name, dir, pods, child: None };
        match side.kind {
            Kind::Peapod => peapod::configure(&side.dir, &options.runtime)?,
            Kind::Containerd => containerd::configure(&side.dir)?,
            Kind::Endpoint(_) => {}
        }
        Ok(side)
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind.clone()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The OCI runtime of its pods.
    pub(crate) fn runtime(&self) -> &str {
        &self.pods.handler
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn can_be_killed(&self) -> bool {
        !matches!(self.kind, Kind::Endpoint(_))
    }

    fn socket(&self) -> PathBuf {
        match &self.kind {
            Kind::Peapod => peapod::socket(&self.dir),
            Kind::Containerd => containerd::socket(&self.dir),
            Kind::Endpoint(path) => path.clone(),
        }
    }

    /// Where a daemon that was started here logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Starts the daemon, without waiting.
    pub(crate) fn spawn(&mut self, stages: bool) -> Result<()> {
        let mut command = match &self.kind {
            Kind::Peapod => peapod::command(&self.dir, stages)?,
            Kind::Containerd => containerd::command(&self.dir)?,
            Kind::Endpoint(_) => return Ok(()),
        };
        let log = fs::File::options().create(true).append(true).open(self.log()).context("open the daemon's log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().with_context(|| format!("start {:?}", command.get_program()))?);
        Ok(())
    }

    /// Starts the daemon and waits until pods can be made. `stages`: it logs how long each stage takes.
    pub(crate) async fn start(&mut self, stages: bool) -> Result<()> {
        self.spawn(stages)?;
        self.wait_ready().await?;
        self.cri().await?.pull().await
    }

    pub(crate) async fn cri(&self) -> Result<Cri> {
        Cri::connect(&self.socket(), self.pods.clone()).await
    }

    pub(crate) async fn wait_ready(&mut self) -> Result<()> {
        let began = Instant::now();
        loop {
            if let Ok(cri) = self.cri().await
                && cri.is_ready().await.unwrap_or(false)
            {
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait().context("wait for the daemon")?
            {
                self.child = None;
                anyhow::bail!(
                    "{} ended at once with {status}: see {}\n{}",
                    self.name,
                    self.log().display(),
                    self.tail()
                );
            }
            let late = began.elapsed() >= TIMEOUT;
            ensure!(!late, "{} is not ready after {} s\n{}", self.name, TIMEOUT.as_secs(), self.tail());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The process that answers.
    pub(crate) async fn daemon_pid(&self) -> Result<u32> {
        if let Some(child) = &self.child {
            return Ok(child.id());
        }
        let stream = UnixStream::connect(self.socket()).await.context("connect")?;
        let pid =
            stream.peer_cred().context("ask who answers")?.pid().context("nobody of this PID namespace answers")?;
        u32::try_from(pid).context("an odd PID")
    }

    /// Ends the daemon as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL).await
    }

    /// Ends the daemon in peace.
    pub(crate) async fn end(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM).await
    }

    async fn signal(&mut self, signal: Signal) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id()).context("an odd PID")?), signal).context("signal the daemon")?;
        let began = Instant::now();
        while child.try_wait().context("wait for the daemon")?.is_none() {
            if began.elapsed() >= TIMEOUT {
                let _ = child.kill();
                anyhow::bail!("{} does not end within {} s of {signal}", self.name, TIMEOUT.as_secs());
            }
            // Recovery is timed from the end on.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // The pods of a bench that failed end with the node.
        if let Some(child) = &mut self.child {
            eprintln!("--- the end of {}'s log:", self.name);
            let text = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(15)..].iter().for_each(|line| eprintln!("{line}"));
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Where to get images of the local registry by plain HTTP, as both sides read it.
fn write_hosts(certs: &Path) -> Result<()> {
    let registry = variable("PEAPOD_REGISTRY")?;
    let dir = certs.join(&registry);
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let toml = format!(
        "server = \"http://{registry}\"\n[host.\"http://{registry}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    fs::write(dir.join("hosts.toml"), toml).context("write hosts.toml")
}

/// A program that the scripts name.
fn program(name: &str) -> Result<PathBuf> {
    let path = PathBuf::from(variable(name)?);
    ensure!(path.is_file(), "{name}={} is not there: run `make bench`", path.display());
    Ok(path)
}

/// One of the Go tools.
fn tool(name: &str) -> Result<PathBuf> {
    let path = Path::new(&variable("PEAPOD_GOTOOLS")?).join(name);
    ensure!(path.exists(), "{} is not there: tests/tools/build.sh containerd cni", path.display());
    Ok(path)
}
