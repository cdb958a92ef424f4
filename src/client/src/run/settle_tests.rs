//! What who waits for a run is told of pods that fail at once, on the fake runtime.

use super::bench::{Bench, shell};
use super::{ChangeReason, WishChange};
use crate::manifest::{self, Workload};

const STAYS: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";

fn pod(name: &str, script: &str) -> Workload {
    let spec = format!("  restartPolicy: Never\n  containers:\n{}", shell("c", script));
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}");
    manifest::read_workload(&text).unwrap()
}

fn job(script: &str) -> Workload {
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  backoffLimit: 0\n  template:\n    spec:
      restartPolicy: Never\n      containers:\n    {}",
        shell("c", script)
    );
    manifest::read_workload(&text).unwrap()
}

/// A pod without a probe is ready as soon as it runs, also if that is for no longer than a moment.
#[tokio::test]
async fn what_fails_at_once_was_never_ready() {
    for (wish, status) in [(pod("once", "exit 9"), 9), (job("exit 3"), 1), (pod("once", ":"), 0), (job(":"), 0)] {
        let bench = Bench::new();
        let (sender, changes) = tokio::sync::mpsc::channel(1);
        let first = [pod("web", STAYS)];
        let done = bench.run_workloads(&first, changes, async |_, signal| {
            bench.printed.wait_for("| up").await;
            let wishes = Ok(vec![pod("web", STAYS), wish.clone()]);
            sender.send(WishChange::Wished { wishes, reason: ChangeReason::Applied }).await.unwrap();
            bench.wait_until("it is told", || bench.applied().times == 1).await;
            assert_eq!(bench.applied().status, status, "{wish}: {:?}", bench.applied());
            signal();
        });
        assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
        bench.assert_nothing_left();
    }
}
