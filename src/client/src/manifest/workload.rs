//! What `peapod run` runs: Pods, and what makes pods.

use std::fmt;

use super::{Deployment, Job, Pod};

/// What `peapod run` runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Pod(Pod),
    Job(Job),
    Deployment(Deployment),
}

impl Workload {
    /// The length of the longest name before lines of its containers; those of pods that are not `alone` have the
    /// pod's name before them.
    pub(crate) fn longest_name(&self, alone: bool) -> usize {
        let (pod, named) = match self {
            Self::Pod(pod) => (pod.clone(), !alone),
            Self::Job(job) => (job.pod(0, Some(0)), true),
            Self::Deployment(deployment) => (deployment.pod(0), true),
        };
        let longest = pod.all_containers().map(|container| container.name.len()).max().unwrap_or_default();
        longest + if named { pod.name.len() + 1 } else { 0 }
    }

    /// Says of which manifest it is, by its absolute path.
    pub(super) fn set_file(&mut self, file: &str) {
        match self {
            Self::Pod(pod) => pod.metadata.file = Some(file.to_owned()),
            Self::Job(job) => job.template.set_file(file),
            Self::Deployment(deployment) => deployment.template.set_file(file),
        }
    }

    /// Of which manifest it is, by its absolute path.
    pub(crate) fn file(&self) -> Option<&str> {
        let pod = match self {
            Self::Pod(pod) => pod,
            Self::Job(job) => job.template.pod(),
            Self::Deployment(deployment) => deployment.template.pod(),
        };
        pod.metadata.file.as_deref()
    }

    /// How long its pods may take to end, in seconds.
    pub(crate) fn grace_seconds(&self) -> u32 {
        self.pattern().grace_seconds
    }

    /// What all its pods are made from.
    pub(crate) fn pattern(&self) -> &Pod {
        match self {
            Self::Pod(pod) => pod,
            Self::Job(job) => job.template.pod(),
            Self::Deployment(deployment) => deployment.template.pod(),
        }
    }

    /// What tells it, once it has ended, from another wording under its name that has to run: the same in every
    /// version of peapod.
    pub(crate) fn wording(&self) -> String {
        match self {
            Self::Pod(pod) => pod.metadata.wording.clone(),
            Self::Job(job) => format!("{} {:?}", job.template.hash, job.completions),
            Self::Deployment(deployment) => deployment.template.hash.clone(),
        }
    }

    /// What tells it from others: its kind, namespace and name.
    pub(crate) fn key(&self) -> (&'static str, &str, &str) {
        match self {
            Self::Pod(pod) => ("Pod", &pod.namespace, &pod.name),
            Self::Job(job) => ("Job", job.namespace(), &job.name),
            Self::Deployment(deployment) => ("Deployment", deployment.namespace(), &deployment.name),
        }
    }

    /// What has such a key, in words.
    pub(crate) fn title((kind, namespace, name): (&str, &str, &str)) -> String {
        match kind {
            "Pod" => format!("{namespace}/{name}"),
            kind => format!("{} {namespace}/{name}", kind.to_lowercase()),
        }
    }

    /// Whether another one has its kind, namespace and name.
    pub(crate) fn is_named_as(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::title(self.key()))
    }
}
