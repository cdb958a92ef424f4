//! One `peapod run` on the fake runtime, for tests.

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
    detach: bool,
}

impl Bench {
    pub(super) fn new() -> Self {
        let (fake, dir) = (Fake::default().with_image("tool:1"), tempfile::tempdir().unwrap());
        Self { fake, dir, printed: Printed::default(), keep: false, detach: false }
    }

    /// Of pods that nobody watches.
    pub(super) fn detached() -> Self {
        Self { detach: true, ..Self::new() }
    }

    /// Of pods that stay when they have ended.
    pub(super) fn keeping() -> Self {
        Self { keep: true, ..Self::new() }
    }

    /// Where the pods' folders are.
    pub(super) fn base(&self) -> PathBuf {
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
        self.go_on(Wishes { first, past: PastRun::default(), changes }, meanwhile).await
    }

    /// The same of what another process may have looked after.
    pub(super) async fn go_on(
        &self,
        wishes: Wishes<'_>,
        meanwhile: impl AsyncFnOnce(&CriClient, &dyn Fn()),
    ) -> Result<u8, String> {
        for earlier in ["fake.sock", "inner.sock"] {
            let _ = std::fs::remove_file(self.dir.path().join(earlier));
        }
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
            detach: self.detach,
            watch: false,
            runtime_handler: String::new(),
            cgroup_parent: String::new(),
            keep: self.keep,
            dir: self.base(),
        };
        let record =
            RunRecord::begin(&self.dir.path().join("records"), "ab", Default::default(), Default::default()).unwrap();
        let is_alone = matches!(wishes.first, [Workload::Pod(_)]);
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

    /// For what it waits.
    pub(super) fn waits(&self) -> Vec<String> {
        let records = self.dir.path().join("records");
        crate::runs::known(&records, "ab").unwrap().waits(&records)
    }

    /// What is left of pods, as they were last.
    pub(super) fn reports(&self) -> Vec<RunReport> {
        let pods = std::fs::read_dir(self.base()).unwrap();
        pods.filter_map(|pod| RunReport::read(&pod.unwrap().path())).collect()
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
