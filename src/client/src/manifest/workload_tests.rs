//! Fields of Jobs and Deployments.

use super::{Deployment, LoadedManifest, ManifestSource, RolloutStrategy, Workload, load};

/// Two workloads as `kubectl get -o yaml` prints them.
const GOT: &str = include_str!("testdata/got.yaml");

fn loaded(text: String) -> Result<LoadedManifest, String> {
    load(&[ManifestSource { name: String::new(), path: None, text }]).map_err(|error| error.to_string())
}

#[test]
fn what_was_read_out_of_a_cluster_runs() {
    let LoadedManifest { workloads, notes, .. } = loaded(GOT.to_owned()).unwrap();
    let [Workload::Deployment(web), Workload::Job(sum)] = workloads.as_slice() else { panic!("{workloads:?}") };
    assert_eq!((web.replicas, web.strategy), (8, RolloutStrategy::InTurn { at_a_time: 2 }));
    assert_eq!((sum.backoff_limit, sum.parallelism), (6, 1));
    let notes = notes.join("\n");
    for idle in ["revisionHistoryLimit", "maxSurge", "podReplacementPolicy", "resourceVersion", "status"] {
        assert!(notes.contains(idle), "{idle} in:\n{notes}");
    }
}

fn text(more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 10
  selector: {{matchLabels: {{a: b}}}}
  {more}
  template:
    metadata: {{labels: {{a: b}}}}
    spec: {{containers: [{{name: c, image: x}}]}}
"
    )
}

fn deployment(more: &str) -> Result<(Deployment, Vec<String>), String> {
    built(text(more))
}

fn built(text: String) -> Result<(Deployment, Vec<String>), String> {
    let LoadedManifest { mut workloads, notes, .. } = loaded(text)?;
    match workloads.pop() {
        Some(Workload::Deployment(deployment)) => Ok((deployment, notes)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn strategies() {
    let rolling = |max: &str| format!("strategy: {{rollingUpdate: {{maxUnavailable: {max}}}}}");
    for (more, at_a_time) in [
        ("paused: false".to_owned(), 1),
        ("strategy: {type: RollingUpdate}".to_owned(), 1),
        (rolling("3"), 3),
        (rolling("29%"), 2),
        (rolling("5%"), 1),
        (rolling("0"), 1),
    ] {
        let (deployment, notes) = deployment(&more).unwrap();
        assert_eq!(deployment.strategy, RolloutStrategy::InTurn { at_a_time }, "{more}");
        assert_eq!(
            notes.iter().any(|note| note.contains("one is missing meanwhile")),
            more == rolling("0"),
            "{notes:?}"
        );
    }
    let (given, _) = deployment("strategy: {type: Recreate}\n  minReadySeconds: 7").unwrap();
    assert_eq!((given.strategy, given.min_ready_seconds), (RolloutStrategy::Recreate, 7));
    for (more, said) in [
        ("strategy: {type: Never}", "it can be RollingUpdate, Recreate"),
        ("strategy: {type: Recreate, rollingUpdate: {maxUnavailable: 1}}", "is not for the type Recreate"),
        ("strategy: {rollingUpdate: {maxUnavailable: 101%}}", "it has to be a number, or 0% to 100%"),
        ("strategy: {rollingUpdate: {maxUnavailable: -1}}", "it has to be 0 or more"),
        ("strategy: {rollingUpdate: {maxUnavailable: true}}", "a whole number, or a share such as 25%"),
        ("minReadySeconds: -1", "it has to be 0 or more"),
        ("paused: true", "spec.paused has to be false"),
    ] {
        let error = deployment(more).unwrap_err();
        assert!(error.contains(said), "{more}: {error}");
    }
}

#[test]
fn a_port_of_the_node_is_for_one_pod() {
    let text =
        text("").replace("image: x", "image: x, ports: [{containerPort: 80}, {containerPort: 81, hostPort: 8080}]");
    let error = built(text.clone()).unwrap_err();
    assert!(
        error.contains("line 10: spec.template.spec.containers[0].ports[1].hostPort is 8080, which one"),
        "{error}"
    );
    for replicas in [0, 1] {
        built(text.replace("replicas: 10", &format!("replicas: {replicas}"))).unwrap();
    }
}
