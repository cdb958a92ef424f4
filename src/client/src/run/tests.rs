//! Pods on the fake runtime, whose containers are real processes.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::console::{ConsoleStream, Outputs};
use crate::fake::Fake;
use crate::manifest::{self, Workload};

/// What was printed so far, and who keeps it from being printed.
#[derive(Clone, Default)]
pub(super) struct Printed(Arc<Mutex<Vec<u8>>>, Arc<Mutex<Option<std::sync::mpsc::Receiver<()>>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(gate) = self.1.lock().unwrap().take() {
            // Until the other side is gone.
            let _ = gate.recv();
        }
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Printed {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Takes nothing until what this answers is dropped.
    pub(super) fn pause(&self) -> std::sync::mpsc::Sender<()> {
        let (sender, gate) = std::sync::mpsc::channel();
        *self.1.lock().unwrap() = Some(gate);
        sender
    }

    pub(super) async fn wait_for(&self, text: &str) {
        self.wait_for_so_many(text, 1).await;
    }

    pub(super) async fn wait_for_so_many(&self, text: &str, times: usize) {
        let begin = Instant::now();
        while self.text().matches(text).count() < times {
            assert!(begin.elapsed() < Duration::from_secs(20), "no {times} of `{text}` in:\n{}", self.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// One `peapod run` and what it runs on.
pub(super) struct Bench {
    pub(super) fake: Fake,
    dir: tempfile::TempDir,
    pub(super) printed: Printed,
    keep: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (fake, dir) = (Fake::default().with_image("tool:1"), tempfile::tempdir().unwrap());
        Self { fake, dir, printed: Printed::default(), keep: false }
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Runs the pod; `meanwhile` gets the connection and a function that sends a signal.
    pub(super) async fn run(
        &self,
        spec: &str,
        meanwhile: impl AsyncFnOnce(&CriClient, &dyn Fn()),
    ) -> Result<u8, String> {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}");
        let (_, changes) = tokio::sync::mpsc::channel(1);
        self.run_wishes(&[&text], changes, meanwhile).await
    }

    /// The same of several manifests, which may change.
    pub(super) async fn run_wishes(
        &self,
        texts: &[&str],
        changes: tokio::sync::mpsc::Receiver<WishChange>,
        meanwhile: impl AsyncFnOnce(&CriClient, &dyn Fn()),
    ) -> Result<u8, String> {
        let first: Vec<Workload> = texts.iter().map(|text| manifest::read_workload(text).unwrap()).collect();
        self.run_workloads(&first, changes, meanwhile).await
    }

    pub(super) async fn run_workloads(
        &self,
        first: &[Workload],
        changes: tokio::sync::mpsc::Receiver<WishChange>,
        meanwhile: impl AsyncFnOnce(&CriClient, &dyn Fn()),
    ) -> Result<u8, String> {
        let connection = CriClient::open(&self.fake.serve(self.dir.path())).await.unwrap();
        let (out, err) = (Box::new(self.printed.clone()), Box::new(self.printed.clone()));
        let outputs = Outputs {
            out: ConsoleStream::new(out, false, true),
            err: ConsoleStream::new(err, false, true),
            screen: None,
            waiting: None,
        };
        let (console, writer) = Console::to(6, outputs).unwrap();
        let (interrupt, signal) = Interrupt::by_hand();
        let args = RunArgs {
            files: vec!["-".into()],
            explain: false,
            detach: false,
            watch: false,
            runtime_handler: String::new(),
            cgroup_parent: String::new(),
            keep: self.keep,
            dir: self.base(),
        };
        let record = RunRecord::begin(&self.dir.path().join("records"), "ab", Default::default(), false).unwrap();
        let is_alone = matches!(first, [Workload::Pod(_)]);
        let wishes = Wishes { first, changes };
        let context = RunContext { connection: &connection, args: &args, console: &console, record: &record, is_alone };
        let (status, ()) = tokio::join!(run(context, wishes, &interrupt), meanwhile(&connection, &signal));
        drop(console);
        // What is left of logs is printed meanwhile.
        tokio::task::spawn_blocking(move || writer.finish()).await.unwrap();
        status.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// Runs a pod that ends by itself.
    pub(super) async fn to_its_end(&self, spec: &str) -> Result<u8, String> {
        self.run(spec, async |_, _| {}).await
    }

    /// What all pods have in this file of a volume.
    pub(super) fn files_of_volumes(&self, path: &str) -> Vec<String> {
        let pods = std::fs::read_dir(self.base()).unwrap().map(|pod| pod.unwrap().path());
        pods.filter_map(|pod| std::fs::read_to_string(pod.join("volumes").join(path)).ok()).collect()
    }

    /// What others know that the run looks after, without what is over.
    pub(super) fn subjects(&self) -> Vec<String> {
        let known = crate::runs::known(&self.dir.path().join("records"), "ab").unwrap();
        let on = known.subjects.workloads.iter().filter(|known| !known.is_over);
        on.map(|known| known.named.to_string()).collect()
    }

    /// What `peapod apply` is told.
    pub(super) fn applied(&self) -> crate::runs::AppliedFiles {
        let records = self.dir.path().join("records");
        crate::runs::known(&records, "ab").unwrap().applied(&records)
    }

    pub(super) async fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(20), "not so: {what}:\n{}", self.printed.text());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Neither in the runtime nor on the disk is anything left.
    pub(super) fn assert_nothing_left(&self) {
        self.fake.state(|state| assert!(state.pods.is_empty() && state.containers.is_empty()));
        assert_eq!(std::fs::read_dir(self.base()).map(Iterator::count).unwrap_or_default(), 0);
    }
}

pub(super) fn shell(name: &str, script: &str) -> String {
    format!("  - {{name: {name}, image: 'tool:1', command: [sh, -c, \"{script}\"]}}\n")
}

#[tokio::test]
async fn a_pod_runs_to_its_end_and_leaves_nothing() {
    let bench = Bench::new();
    let spec =
        format!("  restartPolicy: Never\n  containers:\n{}{}", shell("a", "echo one; echo two >&2"), shell("b", ":"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    for line in
        ["a      | one\n", "a      | two\n", "pod default/web is up at 10.1.2.3", "a ended with 0", "b ended with 0"]
    {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
    let ends = text.find("a ended").unwrap();
    assert!(text.find("| one").unwrap() < ends && text.find("| two").unwrap() < ends, "output before the end:\n{text}");
    assert_eq!(
        bench.fake.calls()[..5],
        ["RunPodSandbox web", "CreateContainer a 0", "StartContainer", "CreateContainer b 0", "StartContainer"]
    );
    bench.assert_nothing_left();
}

#[tokio::test]
async fn the_first_failure_is_the_exit_status() {
    let bench = Bench::new();
    let spec =
        format!("  restartPolicy: Never\n  containers:\n{}{}", shell("a", "sleep 1; exit 4"), shell("b", "exit 3"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(3));
}

#[tokio::test]
async fn failures_are_started_again_and_success_ends_the_pod() {
    let bench = Bench::new();
    let script = "if [ -e $AT_v/f ]; then echo again; else touch $AT_v/f; exit 5; fi";
    let container = shell("a", script).replace("}\n", ", volumeMounts: [{name: v, mountPath: /v}]}\n");
    let spec = format!("  restartPolicy: OnFailure\n  volumes: [{{name: v}}]\n  containers:\n{container}");
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    assert!(text.contains("a ended with 5; starting it again now") && text.contains("a      | again\n"), "{text}");
    assert!(bench.fake.calls().contains(&"CreateContainer a 1".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn init_containers_come_first_and_their_failure_is_the_pods() {
    let bench = Bench::new();
    let init = |script| format!("  restartPolicy: Never\n  initContainers:\n{}", shell("i", script));
    let spec = format!("{}  containers:\n{}", init("echo before"), shell("a", "echo after"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(0));
    let text = bench.printed.text();
    assert!(text.find("| before").unwrap() < text.find("| after").unwrap(), "{text}");
    let bench = Bench::new();
    let spec = format!("{}  containers:\n{}", init("exit 6"), shell("a", "echo after"));
    assert_eq!(bench.to_its_end(&spec).await, Ok(6));
    assert!(!bench.printed.text().contains("after"));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn one_signal_stops_with_grace() {
    let bench = Bench::new();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 20\n  containers:\n{}", shell("a", script));
    let status = bench.run(&spec, async |_, signal| {
        bench.printed.wait_for("| ready").await;
        signal();
    });
    assert_eq!(status.await, Ok(130));
    assert!(bench.printed.text().contains("a      | bye\n"), "{}", bench.printed.text());
    assert!(bench.fake.calls().contains(&"StopContainer 20".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_second_signal_kills() {
    let bench = Bench::new();
    let script = "trap 'echo no' TERM; echo ready; while :; do sleep 0.1; done";
    let spec = format!("  terminationGracePeriodSeconds: 100\n  containers:\n{}", shell("a", script));
    let begin = Instant::now();
    let status = bench.run(&spec, async |_, signal| {
        bench.printed.wait_for("| ready").await;
        signal();
        bench.printed.wait_for("| no").await;
        signal();
    });
    assert_eq!(status.await, Ok(130));
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(bench.fake.calls().contains(&"StopContainer 0".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_pod_stopped_elsewhere_is_not_started_again() {
    let bench = Bench::new();
    let spec = format!("  containers:\n{}", shell("a", "echo ready; sleep 100"));
    let status = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("| ready").await;
        let args = crate::cli::StopArgs { pods: vec!["web".into()], files: Vec::new(), all: false, grace: Some(5) };
        crate::commands::stop(connection, &args).await.unwrap();
    });
    assert_eq!(status.await, Ok(0));
    assert!(bench.printed.text().contains("stopped by somebody else"), "{}", bench.printed.text());
    assert!(!bench.fake.calls().contains(&"CreateContainer a 1".to_owned()));
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_failure_before_somebody_else_stops_the_pod_is_its_exit_status() {
    let bench = Bench::new();
    let containers = format!("{}{}", shell("a", "exit 3"), shell("b", "sleep 100"));
    let spec = format!("  restartPolicy: Never\n  containers:\n{containers}");
    let status = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("a ended with 3").await;
        let args = crate::cli::StopArgs { pods: vec!["web".into()], files: Vec::new(), all: false, grace: Some(0) };
        crate::commands::stop(connection, &args).await.unwrap();
    });
    assert_eq!(status.await, Ok(3));
    assert!(bench.printed.text().contains("stopped by somebody else"), "{}", bench.printed.text());
    bench.assert_nothing_left();
}

#[tokio::test]
async fn images_are_pulled_as_the_policy_says() {
    for (image, policy, pulls) in
        [("tool:1", "IfNotPresent", 0), ("tool:1", "Always", 1), ("tool:1", "Never", 0), ("new:1", "IfNotPresent", 1)]
    {
        let bench = Bench::new();
        let spec = format!(
            "  restartPolicy: Never\n  containers:\n  - {{name: a, image: '{image}', imagePullPolicy: {policy}, command: ['true']}}\n"
        );
        assert_eq!(bench.to_its_end(&spec).await, Ok(0));
        assert_eq!(
            bench.fake.calls().iter().filter(|call| call.starts_with("PullImage")).count(),
            pulls,
            "{image} {policy}"
        );
    }
    let bench = Bench::new();
    let spec = "  containers: [{name: a, image: new, imagePullPolicy: Never}]\n";
    let said = bench.to_its_end(spec).await.unwrap_err();
    assert!(said.contains("image new:latest is not on this node") && said.contains("peapod pull new:latest"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn failures_of_the_runtime_are_said_and_leave_nothing() {
    let spec = format!("  containers:\n{}", shell("a", "sleep 100"));
    for (rpc, expected) in [
        ("PullImage", "container a: cannot pull tool:1: PullImage: no luck"),
        ("RunPodSandbox", "cannot start the pod: RunPodSandbox: no luck"),
        ("CreateContainer", "cannot start container a: CreateContainer: no luck"),
        ("StartContainer", "cannot start container a: StartContainer: no luck"),
    ] {
        let bench = Bench::new();
        bench.fake.state(|state| state.fails = Some((rpc, "no luck")));
        let spec = spec.replace("image: 'tool:1'", "image: 'tool:1', imagePullPolicy: Always");
        assert_eq!(bench.to_its_end(&spec).await, Err(expected.to_owned()));
        bench.assert_nothing_left();
    }
    let bench = Bench::new();
    let said = bench.to_its_end("  containers: [{name: a, image: 'tool:1', command: [/no/such]}]\n").await.unwrap_err();
    assert!(said.contains("cannot start container a: StartContainer: No such file"), "{said}");
    bench.assert_nothing_left();
}

#[tokio::test]
async fn a_kept_pod_is_removed_by_rm() {
    let bench = Bench { keep: true, ..Bench::new() };
    let spec = format!("  restartPolicy: Never\n  containers:\n{}", shell("a", "echo one"));
    let done = bench.run(&spec, async |connection, _| {
        bench.printed.wait_for("a ended").await;
        let pods = async || crate::select::pod(connection, "web").await.unwrap();
        while pods().await.state() == v1::PodSandboxState::SandboxReady {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let list = crate::cli::PsArgs { all: true, output: crate::cli::OutputFormat::Table };
        let table = crate::commands::ps(connection, &list).await.unwrap();
        assert!(
            table.contains("web   default     0/1     Completed   10.1.2.3") && table.contains("Exited (0)"),
            "{table}"
        );
        let list = crate::cli::PsArgs { all: true, output: crate::cli::OutputFormat::Json };
        let json: serde_json::Value =
            serde_json::from_str(&crate::commands::ps(connection, &list).await.unwrap()).unwrap();
        assert_eq!(json[0]["containers"][0]["exitCode"], 0);
        let why = crate::cli::WhyArgs { what: "web".into(), json: false };
        let said = crate::commands::why(connection, &why).await.unwrap_err().to_string();
        assert_eq!(said, "fake 1 tells no stages of what it does; peapod does");
        assert!(bench.base().read_dir().unwrap().next().is_some());
        let args = crate::cli::RmArgs { pods: vec!["web".into()], files: Vec::new(), all: false, force: false };
        crate::commands::rm(connection, &args).await.unwrap();
        bench.assert_nothing_left();
    });
    assert_eq!(done.await, Ok(0));
}

#[tokio::test]
async fn two_pods_of_one_name_do_not_run_at_once() {
    let bench = Bench::new();
    let spec = format!("  containers:\n{}", shell("a", "echo ready; sleep 100"));
    let done = bench.run(&spec, async |connection, signal| {
        bench.printed.wait_for("| ready").await;
        let pod = manifest::read(
            "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: x}]}}",
        );
        let said = twin::refuse(connection, &pod.unwrap(), "ab").await.unwrap_err().to_string();
        assert!(said.contains("pod default/web runs already") && said.contains("peapod stop"), "{said}");
        signal();
    });
    assert_eq!(done.await, Ok(130));
}

#[test]
fn exit_statuses_stay_failures() {
    assert_eq!([0, 1, 137, 255, 256, -1].map(exit_status), [0, 1, 137, 255, 1, 255]);
}

#[test]
fn uids_are_random_uuids_that_differ() {
    let uids: std::collections::BTreeSet<String> = (0..100).map(|_| new_uid().unwrap()).collect();
    assert_eq!(uids.len(), 100);
    for uid in uids {
        // RFC 9562: version 4, variant 10.
        let parts: Vec<&str> = uid.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uid}");
        let is_hex = |part: &&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        assert!(parts.iter().all(is_hex), "{uid}");
        assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{uid}");
    }
}
