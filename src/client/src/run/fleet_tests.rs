//! Several pods of one run on the fake runtime.

use std::time::{Duration, Instant};

use super::WishChange;
use super::tests::{Bench, shell};
use crate::manifest;

fn deployment(name: &str, word: &str) -> String {
    let script = format!("trap 'exit 0' TERM; echo up {word}; while :; do sleep 0.1; done");
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2
  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}
    spec:\n      terminationGracePeriodSeconds: 20\n      containers:\n    {}",
        shell("c", &script)
    )
}

#[tokio::test]
async fn what_changes_is_replaced_and_the_rest_is_left_alone() {
    let bench = Bench::new();
    let (sender, changes) = tokio::sync::mpsc::channel(1);
    let (web, other) = (deployment("web", "one"), deployment("other", "still"));
    let seen = async |word: &str, times: usize| {
        let line = format!("| up {word}\n");
        let begin = Instant::now();
        while bench.printed.text().matches(&line).count() < times {
            assert!(begin.elapsed() < Duration::from_secs(20), "no {times} of `{word}`:\n{}", bench.printed.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let both = [web.as_str(), other.as_str()];
    let done = bench.run_wishes(&both, changes, async |_, _| {
        seen("one", 2).await;
        seen("still", 2).await;
        let wishes = [deployment("web", "two"), other.clone()];
        let wishes = wishes.iter().map(|text| manifest::read_workload(text).unwrap()).collect();
        sender.send(WishChange { wishes: Ok(wishes), is_asked_for: false }).await.unwrap();
        seen("two", 2).await;
        // Nothing is wished any more.
        sender.send(WishChange { wishes: Ok(Vec::new()), is_asked_for: false }).await.unwrap();
    });
    assert_eq!(done.await, Ok(0));
    let text = bench.printed.text();
    assert_eq!((text.matches("| up one").count(), text.matches("| up still").count()), (2, 2), "{text}");
    assert!(text.contains("-0/c | up two"), "lines have the pod's name:\n{text}");
    for said in ["deployment default/web changed", "deployment default/web removed", "deployment default/other removed"]
    {
        assert!(text.contains(said), "{said} in:\n{text}");
    }
    assert!(!text.contains("default/other unchanged"), "nobody asked:\n{text}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_job_that_may_not_fail_fails_with_its_first_pod() {
    let bench = Bench::new();
    let container = shell("c", "echo try; exit 3");
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  backoffLimit: 0
  template:\n    spec:\n      restartPolicy: Never\n      containers:\n    {container}"
    );
    let (_, changes) = tokio::sync::mpsc::channel(1);
    assert_eq!(bench.run_wishes(&[&text], changes, async |_, _| {}).await, Ok(1));
    let said = bench.printed.text();
    assert!(said.contains("sum-0/c | try") && said.contains("job sum has failed"), "{said}");
    bench.assert_nothing_left();
}
