//! Several pods of one run on the fake runtime.

use std::time::{Duration, Instant};

use super::bench::{Bench, shell};
use super::{ChangeReason, WishChange};
use crate::manifest::{self, ManifestSource};
use crate::manifest_files::NamedWorkload;

fn deployment(name: &str, word: &str) -> String {
    let script = format!("trap 'exit 0' TERM; echo up {word}; while :; do sleep 0.1; done");
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2
  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}
    spec:\n      terminationGracePeriodSeconds: 20\n      containers:\n    {}",
        shell("c", &script)
    )
}

/// Somebody takes it down.
fn left(kind: &str, name: &str) -> WishChange {
    let named = NamedWorkload { kind: kind.into(), namespace: "default".into(), name: name.into() };
    WishChange::Left([named].into())
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
        sender.send(WishChange::Wished { wishes: Ok(wishes), reason: ChangeReason::Saved }).await.unwrap();
        seen("two", 2).await;
        // Nothing is wished any more.
        sender.send(WishChange::Wished { wishes: Ok(Vec::new()), reason: ChangeReason::Saved }).await.unwrap();
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
    assert!(
        said.contains("sum-0/c | try")
            && said.contains("job sum has failed: its pods have failed too often (backoffLimit: 0)"),
        "{said}"
    );
    bench.assert_nothing_left();
}

/// Of a Job that nobody watches its last pod tells why it failed, whether that ended or was still started again.
#[tokio::test]
async fn a_job_that_has_failed_leaves_what_tells_why() {
    for (policy, limit, name) in [("Never", 0, "sum-0"), ("OnFailure", 1, "sum-0")] {
        for is_watched in [false, true] {
            let bench = if is_watched { Bench::new() } else { Bench::detached() };
            let text = format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  backoffLimit: {limit}
  template:\n    spec:\n      restartPolicy: {policy}\n      containers:\n    {}",
                shell("c", "echo try; exit 3")
            );
            let (_, changes) = tokio::sync::mpsc::channel(1);
            assert_eq!(bench.run_wishes(&[&text], changes, async |_, _| {}).await, Ok(1));
            let said = bench.printed.text();
            assert!(said.contains(&format!("(backoffLimit: {limit}); pod {name} has failed with 3")), "{said}");
            if is_watched {
                bench.assert_nothing_left();
                continue;
            }
            let reports = bench.reports();
            assert_eq!(reports.len(), 1, "{policy}: {reports:?}");
            assert_eq!(reports[0].reason.as_deref(), Some("BackoffLimitExceeded"), "{policy}");
            // One that was started again may have been asked to end.
            assert!(reports[0].containers[0].exit_code.is_some_and(|code| code != 0), "{policy}: {reports:?}");
            bench.fake.state(|state| assert_eq!((state.pods.len(), state.containers.len()), (1, 1), "{policy}"));
        }
    }
}

#[tokio::test]
async fn an_image_that_can_not_be_had_ends_nothing_that_serves() {
    let pod = |word: &str| {
        let script = format!("trap 'exit 0' TERM; echo up {word}; while :; do sleep 0.1; done");
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: one}}\nspec:\n  containers:\n{}", shell("c", &script))
    };
    for make in [pod as fn(&str) -> String, |word| deployment("web", word)] {
        let bench = Bench::new();
        let (sender, changes) = tokio::sync::mpsc::channel(1);
        let first = make("one");
        let all = if first.contains("Deployment") { 2 } else { 1 };
        let change = async |text: &str| {
            let wishes = Ok(vec![manifest::read_workload(text).unwrap()]);
            sender.send(WishChange::Wished { wishes, reason: ChangeReason::Saved }).await.unwrap();
        };
        let texts = [first.as_str()];
        let done = bench.run_wishes(&texts, changes, async |_, signal| {
            bench.printed.wait_for_so_many("| up one", all).await;
            bench.fake.state(|state| state.fails = Some(("PullImage", "no such image")));
            change(&make("two").replace("tool:1", "tol:1")).await;
            bench.printed.wait_for("what runs stays as it is: ").await;
            assert!(!bench.fake.calls().iter().any(|call| call.starts_with("Stop")), "{:?}", bench.fake.calls());
            // The next one is what it should have been.
            bench.fake.state(|state| state.fails = None);
            change(&make("three")).await;
            bench.printed.wait_for_so_many("| up three", all).await;
            signal();
        });
        assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
        assert!(bench.printed.text().contains("cannot pull tol:1"), "{}", bench.printed.text());
        bench.assert_nothing_left();
    }
}

/// What is taken down goes, whether or not the images of the rest can be had.
#[tokio::test]
async fn what_is_taken_down_waits_for_no_images() {
    let bench = Bench::new();
    let (sender, changes) = tokio::sync::mpsc::channel(1);
    let (web, other) = (deployment("web", "one"), deployment("other", "still"));
    let broken = web.replace("tool:1", "tol:1");
    let change = async |texts: &[&String], reason| {
        let wishes = Ok(texts.iter().map(|text| manifest::read_workload(text).unwrap()).collect());
        sender.send(WishChange::Wished { wishes, reason }).await.unwrap();
    };
    let texts = [web.as_str(), other.as_str()];
    let done = bench.run_wishes(&texts, changes, async |_, signal| {
        bench.printed.wait_for_so_many("| up one", 2).await;
        bench.printed.wait_for_so_many("| up still", 2).await;
        bench.fake.state(|state| state.fails = Some(("PullImage", "no such image")));
        change(&[&broken, &other], ChangeReason::Saved).await;
        bench.printed.wait_for("what runs stays as it is: ").await;
        sender.send(left("Deployment", "other")).await.unwrap();
        bench.printed.wait_for("deployment default/other removed").await;
        bench.printed.wait_for_so_many(": c ended with 0", 2).await;
        // Nobody named it, and what was refused is not carried out: its pods went on.
        assert!(!bench.printed.text().contains("default/web removed"), "{}", bench.printed.text());
        signal();
    });
    assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

/// What nobody carries out is of no use to who takes something down: what runs is told, and what is to come.
#[tokio::test]
async fn others_know_what_is_carried_out_and_not_what_is_wished() {
    let bench = Bench::new();
    let (sender, changes) = tokio::sync::mpsc::channel(1);
    let (web, old) = (deployment("web", "one"), deployment("old", "still"));
    let once = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: once}}\nspec:\n  restartPolicy: Never\n  containers:\n{}",
        shell("c", "echo once")
    );
    let change = async |texts: &[&String], reason| {
        let wishes = Ok(texts.iter().map(|text| manifest::read_workload(text).unwrap()).collect());
        sender.send(WishChange::Wished { wishes, reason }).await.unwrap();
        // It was taken.
        drop(sender.reserve().await.unwrap());
    };
    let both = ["deployment default/old", "deployment default/web"];
    let texts = [web.as_str(), old.as_str(), once.as_str()];
    let done = bench.run_wishes(&texts, changes, async |_, signal| {
        bench.printed.wait_for_so_many("| up one", 2).await;
        bench.printed.wait_for_so_many("| up still", 2).await;
        bench.printed.wait_for("c ended with 0").await;
        bench.wait_until("the Pod is over", || bench.subjects() == both).await;
        let broken = web.replace("tool:1", "tol:1");
        bench.fake.state(|state| state.hangs = Some("PullImage"));
        change(&[&broken], ChangeReason::Applied).await;
        bench.wait_until("a pull is under way", || bench.fake.state(|state| state.hung > 0)).await;
        assert_eq!(bench.subjects(), both, "while it is pulled");
        bench.fake.state(|state| (state.hangs, state.fails) = (None, Some(("PullImage", "no such image"))));
        bench.printed.wait_for("what runs stays as it is: ").await;
        assert_eq!(bench.subjects(), both, "when it is refused");
        // `old`, which the refused one leaves out, runs on, and goes when it is named.
        sender.send(left("Deployment", "web")).await.unwrap();
        drop(sender.reserve().await.unwrap());
        assert_eq!(bench.subjects(), both[..1], "as soon as it is answered");
        bench.printed.wait_for_so_many(": c ended with 0", 3).await;
        assert!(!bench.printed.text().contains("default/old removed"), "{}", bench.printed.text());
        signal();
    });
    assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

/// Who waits for one change hears what became of it, whatever else is asked for meanwhile.
#[tokio::test]
async fn what_comes_between_takes_no_answer_from_who_waits() {
    let bench = Bench::new();
    let (sender, changes) = tokio::sync::mpsc::channel(1);
    let pod = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 20\n{rest}"
        )
    };
    let (web, once) = (
        deployment("web", "one"),
        pod("once", &format!("  restartPolicy: Never\n  containers:\n{}", shell("c", "exit 3"))),
    );
    let stays = shell("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done");
    // Nothing takes connections there.
    let probe = ", readinessProbe: {tcpSocket: {host: 127.0.0.1, port: 1}, periodSeconds: 1}}\n";
    let slow = pod("slow", &format!("  containers:\n{}", stays.replace("}\n", probe)));
    let change = async |texts: &[&String], reason| {
        let wishes = Ok(texts.iter().map(|text| manifest::read_workload(text).unwrap()).collect());
        sender.send(WishChange::Wished { wishes, reason }).await.unwrap();
    };
    let texts = [web.as_str()];
    let done = bench.run_wishes(&texts, changes, async |_, signal| {
        bench.printed.wait_for_so_many("| up one", 2).await;
        change(&[&web, &once, &slow], ChangeReason::Applied).await;
        bench.printed.wait_for("c ended with 3").await;
        // A slip of the pen, saved meanwhile: that nobody asked for.
        bench.fake.state(|state| state.fails = Some(("PullImage", "no such image")));
        change(&[&web.replace("tool:1", "tol:1"), &once, &slow], ChangeReason::Saved).await;
        bench.printed.wait_for("what runs stays as it is: ").await;
        bench.wait_until("slow is up", || bench.printed.text().contains("pod default/slow is up")).await;
        assert_eq!(bench.applied().times, 0, "it waits for what it asked for");
        bench
            .wait_until("it is said why", || {
                bench.waits().iter().any(|line| line.starts_with("pod slow: c: its readiness probe failed"))
            })
            .await;
        sender.send(left("Pod", "slow")).await.unwrap();
        bench.wait_until("it is told", || bench.applied().times == 1).await;
        let applied = bench.applied();
        assert_eq!(applied.status, 3, "{applied:?}");
        assert_eq!(bench.waits(), [""; 0]);
        let lines = ["default/once created", "default/slow created", "pod once has failed with 3"];
        assert!(lines.iter().all(|line| applied.lines.iter().any(|told| told == line)), "{applied:?}");
        signal();
    });
    assert_eq!(done.await, Ok(130), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

/// A Deployment or a Pod that mounts one ConfigMap and has its variables of another, with the two.
fn with_objects(kind: &str, file: &str, variable: &str) -> ManifestSource {
    let script = "trap 'exit 0' TERM; echo $V of $(cat $AT_c/k); while :; do sleep 0.1; done";
    let spec = format!(
        "terminationGracePeriodSeconds: 20
      volumes: [{{name: c, configMap: {{name: file}}}}]
      containers:
      - name: m
        image: 'tool:1'
        command: [sh, -c, \"{script}\"]
        env: [{{name: V, valueFrom: {{configMapKeyRef: {{name: variable, key: k}}}}}}]
        volumeMounts: [{{name: c, mountPath: /c}}]"
    );
    let workload = match kind {
        "Pod" => format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n      {spec}"),
        _ => format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2
  selector: {{matchLabels: {{app: a}}}}\n  template:\n    metadata: {{labels: {{app: a}}}}\n    spec:\n      {spec}"
        ),
    };
    let map = |name: &str, text: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{k: {text}}}}}\n---\n")
    };
    let text = format!("{}{}{workload}\n", map("file", file), map("variable", variable));
    ManifestSource { name: String::new(), path: None, text }
}

fn change_to(sources: &[ManifestSource], reason: ChangeReason) -> WishChange {
    WishChange::Wished { wishes: Ok(manifest::load(sources).unwrap().workloads), reason }
}

#[tokio::test]
async fn files_change_under_pods_and_variables_with_new_pods() {
    for kind in ["Pod", "Deployment"] {
        let bench = Bench::new();
        let (sender, changes) = tokio::sync::mpsc::channel(1);
        let first = manifest::load(&[with_objects(kind, "red", "one")]).unwrap().workloads;
        let all = if kind == "Pod" { 1 } else { 2 };
        let done = bench.run_workloads(&first, changes, async |_, _| {
            bench.printed.wait_for_so_many("| one of red", all).await;
            sender.send(change_to(&[with_objects(kind, "blue", "one")], ChangeReason::Saved)).await.unwrap();
            bench.printed.wait_for_so_many("the files of volume c are replaced", all).await;
            let read = bench.files_of_volumes("c/k");
            assert_eq!(read, vec!["blue"; all], "{kind}");
            sender.send(change_to(&[with_objects(kind, "blue", "two")], ChangeReason::Saved)).await.unwrap();
            bench.printed.wait_for_so_many("| two of blue", all).await;
            sender.send(WishChange::Wished { wishes: Ok(Vec::new()), reason: ChangeReason::Saved }).await.unwrap();
        });
        assert_eq!(done.await, Ok(0), "{kind}");
        let text = bench.printed.text();
        let made = bench.fake.calls().iter().filter(|call| call.starts_with("RunPodSandbox")).count();
        assert_eq!(made, 2 * all, "{kind}: once for each wording of the variables:\n{text}");
        assert!(text.contains("default/web updated; its pods go on"), "{text}");
        bench.assert_nothing_left();
    }
}

#[tokio::test]
async fn what_has_ended_is_not_run_again_because_of_another_one() {
    let bench = Bench::new();
    let (sender, changes) = tokio::sync::mpsc::channel(1);
    let job = |word: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  template:\n    spec:
      restartPolicy: Never\n      containers:\n    {}",
            shell("c", &format!("echo sum {word}"))
        )
    };
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: once}}\nspec:\n  restartPolicy: Never\n  containers:\n{}",
        shell("c", "echo once")
    );
    let wishes = |other: &str, word: &str| {
        let texts = [job(word), pod.clone(), deployment("web", other)];
        let sources = texts.map(|text| ManifestSource { name: String::new(), path: None, text });
        manifest::load(&sources).unwrap().workloads
    };
    let first = wishes("one", "a");
    let done = bench.run_workloads(&first, changes, async |_, _| {
        let told = async |workloads, reason| {
            sender.send(WishChange::Wished { wishes: Ok(workloads), reason }).await.unwrap();
        };
        bench.printed.wait_for("job sum is over").await;
        bench.printed.wait_for("c ended with 0").await;
        bench.printed.wait_for_so_many("| up one", 2).await;
        told(wishes("two", "a"), ChangeReason::Saved).await;
        bench.printed.wait_for_so_many("| up two", 2).await;
        told(wishes("three", "a"), ChangeReason::Applied).await;
        bench.printed.wait_for_so_many("| up three", 2).await;
        // It is another one now.
        told(wishes("three", "b"), ChangeReason::Saved).await;
        bench.printed.wait_for("| sum b").await;
        told(Vec::new(), ChangeReason::Saved).await;
        // It was not wished meanwhile.
        told(wishes("four", "b"), ChangeReason::Saved).await;
        bench.printed.wait_for_so_many("| once", 2).await;
        bench.printed.wait_for_so_many("| sum b", 2).await;
        bench.printed.wait_for_so_many("| up four", 2).await;
        told(Vec::new(), ChangeReason::Saved).await;
    });
    assert_eq!(done.await, Ok(0), "{}", bench.printed.text());
    let text = bench.printed.text();
    let times = |line: &str| text.matches(line).count();
    assert_eq!((times("| once\n"), times("| sum a\n"), times("| sum b\n")), (2, 1, 2), "{text}");
    bench.assert_nothing_left();
}
