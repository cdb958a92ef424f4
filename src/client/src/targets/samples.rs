//! Pods and runs of tests.

use std::path::Path;

use peapod_api::v1;

use super::Whole;
use crate::labels;
use crate::manifest_files::NamedWorkload;
use crate::runs::{KnownRun, KnownWorkload, RunSubjects};

/// A pod of a run, that was made for itself or for an owner.
pub(crate) fn pod(base: &Path, (run, name, owner): (&str, &str, Option<&str>), file: &str) -> v1::PodSandbox {
    let dir = base.join(name);
    std::fs::create_dir_all(dir.join("logs")).unwrap();
    let owner = owner.map(|owner| (labels::WORKLOAD, owner.to_owned()));
    let known =
        [(labels::RUN_DIR, dir.display().to_string()), (labels::RUN_ID, run.into()), (labels::RUN_FILE, file.into())];
    v1::PodSandbox {
        id: format!("id-{name}"),
        metadata: Some(v1::PodSandboxMetadata {
            namespace: "default".into(),
            name: name.into(),
            uid: name.into(),
            ..Default::default()
        }),
        annotations: known.into_iter().chain(owner).map(|(key, value)| (key.to_owned(), value)).collect(),
        ..Default::default()
    }
}

/// One that lives.
pub(crate) fn run(id: &str, files: &[&str], workloads: &[(&str, &str, &str)]) -> KnownRun {
    let known = |(kind, name, file): &(&str, &str, &str)| KnownWorkload {
        named: NamedWorkload { kind: (*kind).into(), namespace: "default".into(), name: (*name).into() },
        file: Some((*file).into()),
        is_over: false,
        ended_as: None,
        done: 0,
    };
    let subjects = RunSubjects { endpoint: String::new(), workloads: workloads.iter().map(known).collect() };
    let files = files.iter().map(|file| (*file).to_owned()).collect();
    KnownRun { id: id.into(), lives: true, files, subjects, ..KnownRun::default() }
}

/// Two runs: of a Pod beside a Deployment with two pods, and of a Job of which no pod is there.
pub(crate) fn whole(base: &Path) -> Whole {
    let many = Some("Deployment/many");
    let pods = vec![
        pod(base, ("aaaa", "web", None), "/none/app.yaml"),
        pod(base, ("aaaa", "many-1", many), "/none/app.yaml"),
        pod(base, ("aaaa", "many-2", many), "/none/app.yaml"),
    ];
    let app = [("Pod", "web", "/none/app.yaml"), ("Deployment", "many", "/none/app.yaml")];
    let runs = vec![
        (base.to_owned(), run("aaaa", &["/none/app.yaml"], &app)),
        (base.to_owned(), run("bbbb", &["/none/job.yaml"], &[("Job", "work", "/none/job.yaml")])),
    ];
    Whole { pods, runs, ..Whole::default() }
}
