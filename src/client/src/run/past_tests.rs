//! Runs that go on with what an earlier process of theirs has left, on the fake runtime.

use peapod_api::v1;

use super::bench::{Bench, shell};
use super::{PastRun, WishChange, Wishes};
use crate::manifest::{self, Workload};
use crate::runs::{KnownWorkload, RunSubjects};

const UP: &str = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done";

fn deployment(replicas: u32) -> Workload {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: many}}\nspec:\n  replicas: {replicas}
  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}
    spec:\n      terminationGracePeriodSeconds: 20\n      containers:\n    {}",
        shell("c", UP)
    );
    manifest::read_workload(&text).unwrap()
}

fn pod(name: &str, script: &str) -> Workload {
    let spec = format!("  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("c", script));
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}");
    manifest::read_workload(&text).unwrap()
}

fn job(script: &str) -> Workload {
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  template:\n    spec:
      restartPolicy: Never\n      containers:\n    {}",
        shell("c", script)
    );
    manifest::read_workload(&text).unwrap()
}

/// Runs these until so many containers are up, and is killed.
async fn killed(bench: &Bench, first: &[Workload], pods: usize) -> PastRun {
    let (_sender, changes) = tokio::sync::mpsc::channel::<WishChange>(1);
    tokio::select! {
        _ = bench.run_workloads(first, changes, async |_, _| std::future::pending().await) => panic!("it ended"),
        () = bench.printed.wait_for_so_many("| up", pods) => {}
    }
    let sandbox = |(id, (config, is_ready)): (&String, &(v1::PodSandboxConfig, bool))| {
        assert!(is_ready);
        let metadata = config.metadata.clone();
        let (labels, annotations) = (config.labels.clone(), config.annotations.clone());
        v1::PodSandbox { id: id.clone(), metadata, labels, annotations, ..Default::default() }
    };
    let pods = bench.fake.state(|state| state.pods.iter().map(sandbox).collect());
    PastRun { subjects: RunSubjects::default(), pods }
}

/// The calls that make pods and end containers.
fn steps(bench: &Bench, from: usize) -> Vec<&'static str> {
    let step = |call: &String| match call.split(' ').next() {
        Some("RunPodSandbox") => Some("run"),
        Some("StopContainer") => Some("stop"),
        _ => None,
    };
    bench.fake.calls()[from..].iter().filter_map(step).collect()
}

#[tokio::test]
async fn what_nobody_looks_after_is_replaced_in_turn() {
    let bench = Bench::new();
    let first = [deployment(3), pod("web", UP)];
    let past = killed(&bench, &first, 4).await;
    assert_eq!(past.pods.len(), 4);
    let before = bench.fake.calls().len();
    // Of one fewer.
    let first = [deployment(2), pod("web", UP)];
    let (_sender, changes) = tokio::sync::mpsc::channel(1);
    let ended = bench.go_on(Wishes { first: &first, past, changes }, async |_, signal| {
        bench.printed.wait_for_so_many("| up", 7).await;
        bench.wait_until("all are replaced", || bench.fake.state(|state| state.pods.len() == 3)).await;
        signal();
    });
    assert_eq!(ended.await, Ok(130), "{}", bench.printed.text());
    let text = bench.printed.text();
    assert!(text.contains("deployment default/many replaced; nobody has looked after it"), "{text}");
    // One too many and the Pod at once, the Deployment's own two one after the other.
    let steps = steps(&bench, before);
    assert_eq!(steps[..7].iter().filter(|step| **step == "stop").count(), 4, "{steps:?}");
    assert_eq!(steps[..7].iter().filter(|step| **step == "run").count(), 3, "{steps:?}");
    let last = steps[..7].iter().rposition(|step| *step == "stop").unwrap();
    assert!(steps[..last].contains(&"run"), "something is there before the last one ends: {steps:?}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn what_has_ended_is_not_begun_again_by_another_process() {
    let bench = Bench::new();
    let first = [job("echo sum a"), pod("web", UP)];
    let subjects = RunSubjects { workloads: vec![KnownWorkload::ended(&first[0])], ..RunSubjects::default() };
    let known: Vec<_> = subjects.continued(&first).map(|known| (known.is_over, known.ended_as.is_some())).collect();
    assert_eq!(known, [(true, true), (false, false)]);
    let go_on = async |first: &[Workload]| {
        let (_sender, changes) = tokio::sync::mpsc::channel(1);
        let past = PastRun { subjects: subjects.clone(), pods: Vec::new() };
        let up = bench.printed.text().matches("| up").count();
        let done = bench.go_on(Wishes { first, past, changes }, async |_, signal| {
            bench.printed.wait_for_so_many("| up", up + 1).await;
            bench.wait_until("others know it", || bench.subjects() == ["default/web"]).await;
            signal();
        });
        assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
    };
    go_on(&first).await;
    assert!(!bench.printed.text().contains("sum a"), "{}", bench.printed.text());
    // It is another one.
    go_on(&[job("echo sum b"), first[1].clone()]).await;
    assert!(bench.printed.text().contains("| sum b"), "{}", bench.printed.text());
    bench.assert_nothing_left();
}
