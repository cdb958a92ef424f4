//! The daemon is killed again and again, at no stage in particular, while pods come and go. Clients only try again.
//! What lasts is in every first list as it was, and in the end nothing is left.

use std::cell::Cell;
use std::time::{Duration, Instant};

use peapod_tests::{Container, Daemon, Pod, SHELL, on_each_runtime, v1, wait_for, wait_some};
use tonic::{Code, Status};
use v1::ContainerState::{ContainerExited, ContainerRunning};

/// For each OCI runtime; `PEAPOD_ANY_MOMENT` says other seconds.
const SECONDS: u64 = 4;
/// Pods that come and go at the same time.
const WORKERS: u64 = 3;

/// Not for secrets: xorshift.
struct Random(Cell<u64>);

impl Random {
    fn below(&self, limit: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % limit
    }
}

/// Who drives pods through their lives.
struct Client<'a> {
    daemon: &'a Daemon,
    random: &'a Random,
    /// Answers that came.
    steps: &'a Cell<u64>,
}

/// The connection broke, or the daemon is not there.
fn is_broken(status: &Status) -> bool {
    let words =
        ["transport error", "h2 protocol error", "connection", "operation was canceled", "error reading a body"];
    matches!(status.code(), Code::Unavailable | Code::Cancelled)
        || matches!(status.code(), Code::Unknown | Code::Internal)
            && words.iter().any(|word| status.message().contains(word))
}

impl Client<'_> {
    /// Calls until there is an answer of a daemon that lives.
    async fn again<T>(&self, what: &str, call: impl AsyncFn() -> Result<T, Status>) -> T {
        let value = wait_some(what, async || match call().await {
            Ok(value) => Some(value),
            Err(status) if is_broken(&status) => None,
            Err(status) => panic!("{what}: {status:?}"),
        })
        .await;
        self.steps.set(self.steps.get() + 1);
        value
    }

    /// A pod's whole life, each step tried until it is answered.
    async fn life(&self, name: &str) {
        let Self { daemon, random, .. } = self;
        let builder = daemon.pod(name);
        let pod = self.again("RunPodSandbox", async || builder.clone().try_run().await).await;
        let spec = pod.container("main").sh("echo up; trap 'exit 7' TERM; while :; do sleep 0.02; done");
        let request = spec.request();
        let id = self.again("CreateContainer", async || daemon.runtime().create_container(request.clone()).await).await;
        let container = Container {
            pod: pod.clone(),
            id: id.into_inner().container_id,
            config: request.config.unwrap_or_default(),
        };
        self.again("StartContainer", async || container.start().await).await;
        let mut ended = false;
        if random.below(2) == 0 {
            let output = self.again("ExecSync", async || container.try_exec(&["echo", "hi"], 10).await).await;
            assert_eq!(output.stdout, "hi\n");
        }
        if random.below(2) == 0 {
            self.again("StopContainer", async || container.stop(20).await).await;
            ended = true;
        }
        if random.below(2) == 0 {
            self.again("StopPodSandbox", async || pod.stop().await).await;
            ended = true;
        }
        if ended {
            let status = self.again("ContainerStatus", async || container.try_status().await).await;
            assert_eq!(status.state(), ContainerExited);
            // Told to end, before or after it has a trap, or killed with its pod.
            assert!([7, 137, 143].contains(&status.exit_code), "{status:?}");
        }
        if random.below(2) == 0 {
            self.again("RemoveContainer", async || container.remove().await).await;
        }
        self.again("RemovePodSandbox", async || pod.remove().await).await;
    }
}

async fn as_it_is(pod: &Pod<'_>, container: &Container<'_>) -> String {
    let (pod, container) = (pod.status().await, container.status().await);
    assert_eq!((pod.state(), container.state()), (v1::PodSandboxState::SandboxReady, ContainerRunning));
    format!("{pod:?} {container:?}")
}

#[test]
fn the_daemon_dies_at_any_moment() {
    let seconds = std::env::var("PEAPOD_ANY_MOMENT").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let seed = u64::from(std::process::id()) << 20 | u64::from(Instant::now().elapsed().subsec_nanos()) | 1;
    eprintln!("seed {seed}");
    let random = Random(Cell::new(seed));
    on_each_runtime(async |daemon| {
        daemon.pull(SHELL).await.unwrap();
        let pod = daemon.pod("lasting").port(80, 31888).run().await;
        let counting =
            pod.container("counting").sh("i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done").start().await;
        let before = as_it_is(&pod, &counting).await;
        let (end, lives) = (Instant::now() + Duration::from_secs(seconds), Cell::new(0));
        let steps = Cell::new(0);
        let client = Client { daemon, random: &random, steps: &steps };
        let worker = async |worker: u64| {
            let mut round = 0;
            while Instant::now() < end {
                client.life(&format!("w{worker}-{round}")).await;
                round += 1;
                lives.set(lives.get() + 1);
            }
        };
        let kills = Cell::new(0);
        let killer = async {
            while Instant::now() < end {
                // At once, in the middle of what the last one left; or when somebody has got on: else nobody ever
                // would.
                let enough = steps.get() + random.below(6);
                wait_for("somebody gets on", async || steps.get() >= enough || Instant::now() >= end).await;
                daemon.kill().await;
                daemon.start_again().await;
                kills.set(kills.get() + 1);
                assert_eq!(as_it_is(&pod, &counting).await, before);
            }
        };
        let workers = futures_util::future::join_all((0..WORKERS).map(worker));
        tokio::join!(workers, killer);
        eprintln!("{} kills, {} lives", kills.get(), lives.get());
        assert!(kills.get() > 2);
        // No line was lost.
        let lines = counting.log().len();
        wait_for("the log goes on", async || counting.log().len() > lines + 2).await;
        let numbers: Vec<usize> = counting.log().iter().map(|line| line.text.parse().unwrap()).collect();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "lines are missing");
        pod.remove().await.unwrap();
        assert!(daemon.pods().await.is_empty() && daemon.containers().await.is_empty());
        daemon.nothing_left().await;
    });
}
