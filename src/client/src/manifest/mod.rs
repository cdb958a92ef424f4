//! Reads manifests: the Pods in them with all that they refer to, or every place where they ask for something that
//! peapod does not do.

#[cfg(test)]
mod bound_tests;
mod builder;
mod capabilities;
mod change;
mod check;
mod container;
mod deployment;
mod documents;
mod effect;
mod env;
mod env_schema;
#[cfg(test)]
mod examples;
mod expand;
mod explain;
#[cfg(test)]
mod field_tests;
mod fields;
mod files;
mod image;
mod job;
mod known;
mod life_schema;
#[cfg(test)]
mod life_tests;
mod lifecycle;
mod mounts;
mod names;
mod network;
mod object_schema;
mod objects;
mod place;
mod pod;
mod pod_resources;
mod probe;
mod pull_secrets;
mod quantity;
mod resources;
mod restart;
mod schema;
mod security;
mod security_schema;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod volume;
mod volume_schema;
mod workload;
mod workload_schema;
#[cfg(test)]
mod workload_tests;

use std::fmt;

use crate::bounds::{MANIFEST_MISTAKES, MANIFEST_TEXTS, MANIFEST_VALUES};

pub(crate) use change::WorkloadChange;
pub(crate) use container::{Container, ContainerPort, PortProtocol};
pub(crate) use deployment::{Deployment, RolloutStrategy};
pub(crate) use documents::{Explained, LoadedManifest, ManifestSource, explain, load};
pub(crate) use env::EnvSource;
pub(crate) use expand::{expand, expand_all};
pub(crate) use fields::{ContainerAmount, PodField, ResourceBound};
pub(crate) use files::{FileContent, FileSet};
pub(crate) use image::PullPolicy;
pub(crate) use job::{Completions, Job};
pub(crate) use lifecycle::LifecycleHook;
pub(crate) use mounts::{MountPropagationMode, ReadOnlyMount, SubPath, VolumeMount};
pub(crate) use network::{DnsLines, DnsPolicy};
pub(crate) use objects::Objects;
pub(crate) use pod::Pod;
pub(crate) use pod_resources::together;
pub(crate) use probe::{HttpGet, Probe, ProbeHandler, ProbeKind};
pub(crate) use pull_secrets::PullSecret;
pub(crate) use quantity::Quantity;
pub(crate) use resources::{ContainerResources, QosClass, size_of_pages};
pub(crate) use restart::{RestartAction, RestartPolicy, RestartRule};
pub(crate) use security::{FsGroup, GivenProfile, SelinuxLabel};
pub(crate) use template::PodTemplate;
pub(crate) use volume::{HostPathType, Volume, VolumeSource};
pub(crate) use workload::Workload;

/// All manifests of a run together are never longer; Kubernetes itself takes no object of more than 1.5 MiB.
pub(crate) const MAX_LENGTH: usize = 2 << 20;

/// Something in a manifest that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Empty if there is but one.
    pub(crate) file: String,
    /// For example `spec.containers[0].image`.
    pub(crate) path: String,
    pub(crate) line: u64,
    /// What is wrong with it, to be read after the path.
    pub(crate) text: String,
}

/// A field that is accepted and changes nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdleField {
    pub(crate) path: String,
    pub(crate) why: &'static str,
}

/// Why manifests can't be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("{0}")]
    Syntax(String),
    #[error(
        "{place}the manifests are too large with all that their aliases stand for: {} MiB of text and {MANIFEST_VALUES} \
         values are taken",
        MANIFEST_TEXTS >> 20
    )]
    TooLarge { place: String },
    #[error("there is nothing in it: write a Pod, with apiVersion, kind, metadata and spec")]
    Empty,
    #[error("there is no Pod in it, only what Pods refer to: give the file of the Pod as well")]
    NoPod,
    #[error("{place}{text}")]
    OtherKind { place: String, text: String },
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}, ", self.file)?;
        }
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        write!(f, "line {}: {path} {}", self.line, self.text)
    }
}

/// Adds what `mistake` makes unless there are more than are shown anyway: each costs a look through the document.
fn add_mistake(mistakes: &mut Vec<Mistake>, mistake: impl FnOnce() -> Mistake) {
    if mistakes.len() <= MANIFEST_MISTAKES {
        mistakes.push(mistake());
    }
}

fn list(mistakes: &[Mistake]) -> String {
    if let [only] = mistakes {
        return only.to_string();
    }
    let (shown, more) = mistakes.split_at(mistakes.len().min(MANIFEST_MISTAKES));
    let mut lines = vec![format!("{}{} mistakes", if more.is_empty() { "" } else { "more than " }, shown.len())];
    lines.extend(shown.iter().map(|mistake| format!("  {mistake}")));
    if !more.is_empty() {
        lines.push("  and more".to_owned());
    }
    lines.join("\n")
}

/// The one thing that a text wants to run.
#[cfg(test)]
pub(crate) fn read_workload(text: &str) -> Result<Workload, ManifestError> {
    load(&[ManifestSource { name: String::new(), path: None, text: text.to_owned() }]).map(|mut manifest| {
        match (manifest.workloads.pop(), manifest.workloads.as_slice()) {
            (Some(workload), []) => workload,
            other => panic!("{other:?}"),
        }
    })
}

/// The one Pod of a text.
#[cfg(test)]
pub(crate) fn read(text: &str) -> Result<Pod, ManifestError> {
    read_workload(text).map(|workload| match workload {
        Workload::Pod(pod) => pod,
        other => panic!("{other:?}"),
    })
}
