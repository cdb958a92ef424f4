//! Rotation of containers' logs, as a kubelet does it: a runtime writes into one file for as long as a container runs.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use peapod_api::v1;
use tokio::sync::watch;

use super::off_thread::off_thread;
use super::voice::Voice;
use crate::bounds::{LOG_BYTES, LOG_FILES, LOG_LOOK};
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::logs::set_aside::{LogSetAside, keep_newest};

/// How much is kept of a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogShare {
    /// A file that has as many bytes is followed by another one.
    bytes: u64,
    /// Files, with the one that is written to.
    files: usize,
    /// How often the size is looked at.
    look: Duration,
}

impl LogShare {
    /// What a kubelet gives a container.
    pub(super) const USUAL: Self = Self { bytes: LOG_BYTES, files: LOG_FILES, look: LOG_LOOK };
}

/// The log of a container that runs.
pub(super) struct RotatedLog {
    pub(super) connection: CriClient,
    pub(super) voice: Voice,
    pub(super) container: String,
    pub(super) path: PathBuf,
    pub(super) share: LogShare,
}

impl RotatedLog {
    /// Until the container has ended, or nobody looks after it any more. What goes wrong is said once, until it works
    /// again.
    pub(super) async fn keep_small(self, mut ended: watch::Receiver<bool>) {
        let mut is_told = false;
        while tokio::time::timeout(self.share.look, ended.wait_for(|ended| *ended)).await.is_err() {
            match self.look().await {
                Ok(()) => is_told = false,
                Err(_) if is_told => {}
                Err(problem) => {
                    is_told = true;
                    let path = self.path.display();
                    self.voice.note(format!("the log {path} grows on: {problem}")).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<(), String> {
        let (path, bytes) = (self.path.clone(), self.share.bytes);
        let aside = off_thread(move || LogSetAside::of_large(&path, bytes, SystemTime::now())).await;
        let aside = aside.flatten().map_err(|error| format!("it can't be renamed: {error}"))?;
        let Some(aside) = aside else { return Ok(()) };
        if let Err(error) = self.reopen().await {
            let put_back = off_thread(move || aside.put_back()).await;
            // A runtime that is away is asked again, as one is of a container that has ended this moment.
            let is_passing = error.is_unanswered() || error.is_not_found() || error.is(tonic::Code::FailedPrecondition);
            let problem = put_back.err().map(|error| error.to_string());
            return problem.or_else(|| (!is_passing).then(|| error.to_string())).map_or(Ok(()), Err);
        }
        let (path, kept) = (self.path.clone(), self.share.files.saturating_sub(1));
        let removed = off_thread(move || keep_newest(&path, kept)).await;
        removed.flatten().map_err(|error| format!("what was before can't be removed: {error}"))
    }

    async fn reopen(&self) -> Result<(), CallError> {
        let request = v1::ReopenContainerLogRequest { container_id: self.container.clone() };
        let mut client = self.connection.runtime.clone();
        call("ReopenContainerLog", QUICK, client.reopen_container_log(request)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::bench::{Bench, shell};

    /// Looks at a log of a fake runtime's container until that has ended.
    #[tokio::test]
    async fn a_log_that_grows_is_rotated_and_read_as_one() {
        let bench = Bench::new();
        // More than a file may have, and the rest when that was set aside.
        let script = "head -c 11000000 /dev/zero | tr '\\\\0' x | fold -w 1000; echo; echo middle; \
                      while [ ! -e $AT_v/go ]; do sleep 0.05; done; echo last";
        let container = shell("a", script).replace("}\n", ", volumeMounts: [{name: v, mountPath: /v}]}\n");
        let spec = format!("  restartPolicy: Never\n  volumes: [{{name: v}}]\n  containers:\n{container}");
        let status = bench.run(&spec, async |_, _| {
            bench.printed.wait_for("a      | middle").await;
            let is_reopened = || bench.fake.calls().contains(&"ReopenContainerLog".to_owned());
            bench.wait_until("the log is opened anew", is_reopened).await;
            let pod = std::fs::read_dir(bench.base()).unwrap().map(|pod| pod.unwrap().path()).next().unwrap();
            let files = || std::fs::read_dir(pod.join("logs/a")).unwrap().count();
            bench.wait_until("there are two files", || files() == 2).await;
            std::fs::write(pod.join("volumes/v/go"), "").unwrap();
        });
        assert_eq!(status.await, Ok(0));
        let text = bench.printed.text();
        assert_eq!(text.matches(&"x".repeat(1000)).count(), 11_000);
        assert!(text.find("| middle").unwrap() < text.find("| last").unwrap());
        bench.assert_nothing_left();
    }

    #[tokio::test]
    async fn a_runtime_that_does_not_open_it_anew_has_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let fake = crate::fake::Fake::default();
        let connection = CriClient::open(&fake.serve(dir.path())).await.unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, "large").unwrap();
        let (console, _writer) = crate::console::Console::start(1).unwrap();
        let share = LogShare { bytes: 5, files: 2, look: Duration::from_millis(10) };
        let log = |container: &str| RotatedLog {
            connection: connection.clone(),
            voice: Voice::new(&console, ""),
            container: container.to_owned(),
            path: path.clone(),
            share,
        };
        // It has ended, and is gone.
        log("gone").look().await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "large");
        fake.state(|state| state.fails = Some(("ReopenContainerLog", "no such thing")));
        let problem = log("any").look().await.unwrap_err();
        assert!(problem.contains("no such thing") && path.exists(), "{problem}");
        std::fs::remove_file(&path).unwrap();
        log("any").look().await.unwrap();
        // Nobody looks after it any more.
        let (sender, ended) = watch::channel(false);
        drop(sender);
        log("any").keep_small(ended).await;
    }
}
