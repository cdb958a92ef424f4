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
    if let Some(file) = pod.annotations.get(labels::RUN_FILE)
        && file == identity
    {
        return true;
    }
    // One of a kubelet's is another pod of that name, and comes again.
    let Some(metadata) = pod.metadata.as_ref().filter(|_| !pod.annotations.contains_key(labels::KUBELET)) else {
        return false;
    };
    named.iter().any(|named| named.namespace == metadata.namespace && named.name == metadata.name)
}

/// Whether `peapod run` made it.
pub(crate) fn is_of_run(pod: &v1::PodSandbox) -> bool {
    pod.annotations.contains_key(labels::RUN_DIR)
}

/// Where the run of a pod is written down that `peapod run` made, and the run's id.
pub(crate) fn run_of(pod: &v1::PodSandbox) -> Option<(PathBuf, String)> {
    let base = Path::new(pod.annotations.get(labels::RUN_DIR)?).parent()?;
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
    }
}
