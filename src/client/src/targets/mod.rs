//! What a command is about: words, manifests, or all of a kind; as pods, and as runs that look after them.

mod find;
#[cfg(test)]
pub(crate) mod samples;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use peapod_api::v1;

use crate::labels;
use crate::manifest_files::NamedWorkload;
use crate::runs::KnownRun;

pub(crate) use find::{Whole, find};

/// What a user named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Targets<'a> {
    /// Pods, Jobs, Deployments, runs and manifests.
    pub(crate) words: &'a [String],
    pub(crate) files: &'a [PathBuf],
    /// All pods that `is_one_of_all` is true of, and all runs.
    pub(crate) all: bool,
    /// A pod's name means all pods of that name, also those that were kept.
    pub(crate) all_of_a_name: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct FoundPods {
    /// Each once, in the order in which they were named.
    pub(crate) pods: Vec<v1::PodSandbox>,
    /// Those that no runtime has yet, which have no ids.
    pub(crate) being_made: Vec<v1::PodSandbox>,
    /// Runs that look after something that was named, other than by a pod of many.
    pub(crate) runs: Vec<FoundRun>,
    /// What was named and is not there, or can't be read: the command does the rest and then fails.
    pub(crate) problems: Vec<String>,
    /// Manifests and folders of which nothing is there.
    pub(crate) empty: Vec<String>,
}

/// A run that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundRun {
    /// The folder of runs that it is in.
    pub(crate) base: PathBuf,
    pub(crate) known: KnownRun,
    /// What was named of what it looks after.
    pub(crate) wanted: BTreeSet<NamedWorkload>,
    /// That is all of it.
    pub(crate) is_whole: bool,
}

impl FoundRun {
    /// Whether a pod is one of those that were named with it.
    pub(crate) fn has(&self, pod: &v1::PodSandbox) -> bool {
        let is_own = run_of(pod).is_some_and(|(base, id)| base == self.base && id == self.known.id);
        is_own && (self.is_whole || self.wanted.contains(&workload_of(pod)))
    }
}

impl FoundPods {
    /// An error that says all of these lines and what could not be found.
    pub(crate) fn conclude(mut self, errors: Vec<String>) -> anyhow::Result<()> {
        self.problems.extend(errors);
        anyhow::ensure!(self.problems.is_empty(), "{}", self.problems.join("\npeapod: "));
        Ok(())
    }

    /// The same, where a manifest of which nothing is there is an error.
    pub(crate) fn conclude_strictly(mut self, errors: Vec<String>) -> anyhow::Result<()> {
        let missing = self.nothing();
        self.problems.extend(missing);
        self.conclude(errors)
    }

    /// What there is to say of manifests of which nothing is there; it is not said again.
    pub(crate) fn nothing(&mut self) -> Vec<String> {
        let empty = std::mem::take(&mut self.empty);
        empty.iter().map(|file| format!("nothing of {file} is there; `peapod ps -a` lists all")).collect()
    }
}

/// What a pod that `peapod run` made was made for.
pub(crate) fn workload_of(pod: &v1::PodSandbox) -> NamedWorkload {
    let metadata = pod.metadata.clone().unwrap_or_default();
    let owner = pod.annotations.get(labels::WORKLOAD).and_then(|owner| owner.split_once('/'));
    let (kind, name) = owner.filter(|_| is_of_run(pod)).unwrap_or(("Pod", &metadata.name));
    NamedWorkload { kind: kind.to_owned(), namespace: metadata.namespace, name: name.to_owned() }
}

/// Whether a kubelet made it. Its annotations say what any user of a cluster wrote into a manifest.
fn is_of_kubelet(pod: &v1::PodSandbox) -> bool {
    pod.annotations.contains_key(labels::KUBELET)
}

/// Whether `peapod run` made it.
pub(crate) fn is_of_run(pod: &v1::PodSandbox) -> bool {
    pod.annotations.contains_key(labels::RUN_DIR) && !is_of_kubelet(pod)
}

/// Where the logs and volumes are of a pod that `peapod run` made.
pub(crate) fn run_dir(pod: &v1::PodSandbox) -> Option<&Path> {
    let path = Path::new(pod.annotations.get(labels::RUN_DIR).filter(|_| is_of_run(pod))?);
    let uid = &pod.metadata.as_ref()?.uid;
    // Named after the pod, with logs in it: nothing else may be removed on an annotation's word.
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    let is_named = path.is_absolute() && path.file_name()?.to_str()? == uid;
    (is_named && is_folder(path) && is_folder(&path.join("logs"))).then_some(path)
}

/// Where the run of a pod is written down that `peapod run` made, and the run's id.
pub(crate) fn run_of(pod: &v1::PodSandbox) -> Option<(PathBuf, String)> {
    let base = run_dir(pod)?.parent()?;
    Some((base.to_owned(), pod.annotations.get(labels::RUN_ID)?.clone()))
}

/// Whether it runs.
pub(crate) fn is_ready(pod: &v1::PodSandbox) -> bool {
    pod.state() == v1::PodSandboxState::SandboxReady
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_of_a_kubelets_pod_lead_nowhere() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("uid-1");
        std::fs::create_dir_all(dir.join("logs")).unwrap();
        let pod = |dir: &Path| v1::PodSandbox {
            metadata: Some(v1::PodSandboxMetadata { uid: "uid-1".into(), ..Default::default() }),
            annotations: [(labels::RUN_DIR, dir.display().to_string()), (labels::RUN_ID, "ab".to_owned())]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
            ..Default::default()
        };
        let own = pod(&dir);
        assert!(is_of_run(&own));
        assert_eq!((run_dir(&own), run_of(&own)), (Some(dir.as_path()), Some((base.path().into(), "ab".into()))));
        let mut of_kubelet = own;
        of_kubelet.annotations.insert(labels::KUBELET.to_owned(), "api".to_owned());
        assert!(!is_of_run(&of_kubelet) && run_dir(&of_kubelet).is_none() && run_of(&of_kubelet).is_none());
        assert!(crate::run::PodDir::of(&of_kubelet).is_none());
        for elsewhere in [base.path(), &base.path().join("uid-2"), Path::new("uid-1")] {
            assert_eq!(run_of(&pod(elsewhere)), None, "{}", elsewhere.display());
        }
    }
}
