//! Commands in containers, half of which run too long.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use peapod_tests::{Container, Daemon, Pod, processes, wait_for};
use tonic::Code;

use crate::call_log::CallLog;
use crate::options::Options;

/// A time that no other process of the node sleeps.
const TOO_LONG: &str = "sleep 777";
/// How long a client waits that sets no limit and then leaves.
const LEAVES: Duration = Duration::from_millis(400);

/// The containers they run in.
pub(crate) struct Execs<'a> {
    containers: Vec<Container<'a>>,
    workers: usize,
    next: usize,
}

impl<'a> Execs<'a> {
    pub(crate) async fn start(pods: &[Pod<'a>], options: &Options) -> Self {
        let mut containers = Vec::new();
        for pod in pods {
            for name in ["exec-0", "exec-1"] {
                containers.push(pod.container(name).sh(crate::STAYS).start().await);
            }
        }
        Self { containers, workers: options.exec_workers, next: 0 }
    }

    /// Runs so many.
    pub(crate) async fn run(&mut self, count: usize, log: &CallLog) {
        let from = self.next;
        self.next += count;
        futures_util::stream::iter(from..self.next)
            .for_each_concurrent(self.workers, async |number| {
                // Not all of one kind in one container.
                let Some(container) = self.containers.get((number / 4) % self.containers.len()) else { return };
                one(container, number, log).await;
            })
            .await;
    }

    /// What they left.
    pub(crate) async fn left(&self, daemon: &Daemon) -> Vec<String> {
        let mut left = Vec::new();
        let count = processes(TOO_LONG);
        if count != 0 {
            left.push(format!("{count} processes"));
        }
        for container in &self.containers {
            let id = (&container.pod.id, &container.id);
            let pipes = daemon.run_root().join("pods").join(id.0).join("containers").join(id.1).join("exec");
            let count = std::fs::read_dir(pipes).map_or(0, Iterator::count);
            if count != 0 {
                left.push(format!("{count} pipes of container {}", id.1));
            }
        }
        left
    }
}

/// Two of four end, one is killed at its limit together with what it started, and one has a client that leaves.
async fn one(container: &Container<'_>, number: usize, log: &CallLog) {
    let began = Instant::now();
    let script = format!("{TOO_LONG} & {TOO_LONG}");
    match number % 4 {
        0 | 2 => match container.try_exec(&["echo", "hello"], 60).await {
            Ok(output) if output.code == 0 && output.stdout == "hello\n" => log.time("ExecSync", began.elapsed()),
            Ok(output) => log.error("ExecSync", &tonic::Status::internal(format!("{output:?}"))),
            Err(status) => log.error("ExecSync", &status),
        },
        1 => match container.try_exec(&["/bin/sh", "-c", &script], 1).await {
            Err(status) if status.code() == Code::DeadlineExceeded => {
                log.time("ExecSync, too long", began.elapsed());
            }
            Err(status) => log.error("ExecSync, too long", &status),
            Ok(output) => log.error("ExecSync, too long", &tonic::Status::internal(format!("{output:?}"))),
        },
        _ => match tokio::time::timeout(LEAVES, container.try_exec(&["/bin/sh", "-c", &script], 0)).await {
            Err(_) => log.time("ExecSync, client leaves", began.elapsed()),
            Ok(answer) => log.error("ExecSync, client leaves", &tonic::Status::internal(format!("{answer:?}"))),
        },
    }
}

/// Waits until the commands whose clients left are gone, too: nobody is told when.
pub(crate) async fn settled() {
    wait_for("abandoned commands end", async || processes(TOO_LONG) == 0).await;
}
