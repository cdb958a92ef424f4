//! Which pods a command is about: words, manifests, or all of a kind.

use std::path::{Path, PathBuf};

use peapod_api::v1;

use crate::connect::CriClient;
use crate::manifest::MAX_LENGTH;
use crate::manifest_files::{self, NamedPod};
use crate::{labels, select};

/// What a user named.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Targets<'a> {
    /// Pods and manifests.
    pub(crate) words: &'a [String],
    pub(crate) files: &'a [PathBuf],
    /// All pods that `is_one_of_all` is true of.
    pub(crate) all: bool,
}

/// What was found.
#[derive(Default)]
pub(crate) struct FoundPods {
    /// Each once, in the order in which they were named.
    pub(crate) pods: Vec<v1::PodSandbox>,
    /// What was named and is not there, or can't be read: the command does the rest and then fails.
    pub(crate) problems: Vec<String>,
    /// Manifests and folders of which no pod is there.
    pub(crate) empty: Vec<String>,
}

impl FoundPods {
    fn add(&mut self, pod: &v1::PodSandbox) {
        if !self.pods.iter().any(|known| known.id == pod.id) {
            self.pods.push(pod.clone());
        }
    }

    /// Adds those of a manifest.
    fn add_file(&mut self, there: &[v1::PodSandbox], file: &Path) -> anyhow::Result<()> {
        let named = manifest_files::named_pods(&manifest_files::read(file, MAX_LENGTH)?)?;
        let identity = manifest_files::identity(file);
        for pod in there.iter().filter(|pod| is_of_file(pod, &identity, &named)) {
            self.add(pod);
        }
        Ok(())
    }

    /// An error that says all of these lines and what could not be found.
    pub(crate) fn conclude(mut self, errors: Vec<String>) -> anyhow::Result<()> {
        self.problems.extend(errors);
        anyhow::ensure!(self.problems.is_empty(), "{}", self.problems.join("\n"));
        Ok(())
    }

    /// The same, where a manifest without pods is an error.
    pub(crate) fn conclude_strictly(mut self, errors: Vec<String>) -> anyhow::Result<()> {
        let missing = std::mem::take(&mut self.empty);
        self.problems.extend(missing.iter().map(|file| format!("no pod of {file} is there; `peapod ps -a` lists all")));
        self.conclude(errors)
    }
}

/// A pod that was run from the file by that path, or has a name that is in it.
fn is_of_file(pod: &v1::PodSandbox, identity: &str, named: &[NamedPod]) -> bool {
    // One of a kubelet's is another pod of that name, and comes again.
    if is_of_kubelet(pod) {
        return false;
    }
    if let Some(file) = pod.annotations.get(labels::RUN_FILE)
        && file == identity
    {
        return true;
    }
    let Some(metadata) = pod.metadata.as_ref() else { return false };
    named.iter().any(|named| named.namespace == metadata.namespace && named.name == metadata.name)
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

/// Finds them.
pub(crate) async fn find(
    connection: &CriClient,
    targets: Targets<'_>,
    is_one_of_all: impl Fn(&v1::PodSandbox) -> bool,
) -> anyhow::Result<FoundPods> {
    let mut there = select::pods(connection).await?;
    there.sort_by_key(|pod| (pod.created_at, pod.id.clone()));
    let mut found = FoundPods::default();
    for pod in there.iter().filter(|pod| targets.all && is_one_of_all(pod)) {
        found.add(pod);
    }
    let mut paths: Vec<PathBuf> = targets.files.to_vec();
    for word in targets.words {
        match manifest_files::is_file(word) {
            true => paths.push(word.into()),
            false => match select::choose(there.clone(), word) {
                Ok(pod) => found.add(&pod),
                Err(error) => found.problems.push(error.to_string()),
            },
        }
    }
    for path in paths {
        let before = found.pods.len();
        let read = manifest_files::files(&path)
            .and_then(|files| files.iter().try_for_each(|file| found.add_file(&there, file)));
        match read {
            Err(error) => found.problems.push(format!("cannot read {}: {error:#}", path.display())),
            // Not each file of a folder has a pod.
            Ok(()) if found.pods.len() == before => found.empty.push(path.display().to_string()),
            Ok(()) => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_a_file() {
        let pod = |namespace: &str, name: &str, file: &str| v1::PodSandbox {
            metadata: Some(v1::PodSandboxMetadata {
                namespace: namespace.into(),
                name: name.into(),
                ..Default::default()
            }),
            annotations: [(labels::RUN_FILE.to_owned(), file.to_owned())].into(),
            ..Default::default()
        };
        let named = [NamedPod { namespace: "default".into(), name: "web".into() }];
        assert!(is_of_file(&pod("default", "web", "/other.yaml"), "/pod.yaml", &named));
        assert!(is_of_file(&pod("default", "web-1", "/pod.yaml"), "/pod.yaml", &named));
        assert!(!is_of_file(&pod("default", "web-1", "/other.yaml"), "/pod.yaml", &named));
        assert!(!is_of_file(&pod("other", "web", ""), "/pod.yaml", &named));
        let mut of_kubelet = pod("default", "web", "");
        of_kubelet.annotations.insert(labels::KUBELET.to_owned(), "file".to_owned());
        assert!(!is_of_file(&of_kubelet, "/pod.yaml", &named));
        of_kubelet.annotations.insert(labels::RUN_FILE.to_owned(), "/pod.yaml".to_owned());
        assert!(!is_of_file(&of_kubelet, "/pod.yaml", &named), "whatever its manifest says");
    }

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
