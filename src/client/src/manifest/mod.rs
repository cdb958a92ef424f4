//! Reads a Pod manifest: what it asks for, or every place where it asks for something that peapod does not do.

mod builder;
mod check;
mod container;
mod expand;
mod names;
mod pod;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod volume;

use std::fmt;

pub(crate) use container::{Container, ContainerPort, PortProtocol, PullPolicy};
pub(crate) use pod::{Pod, RestartPolicy};
#[cfg(test)]
pub(crate) use volume::VolumeMount;
pub(crate) use volume::{HostPathType, Volume, VolumeSource};

use tree::{YamlNode, YamlValue};

/// A manifest is never longer; Kubernetes itself takes no object of more than 1.5 MiB.
pub(crate) const MAX_LENGTH: usize = 2 << 20;

/// How many mistakes are shown.
const SHOWN: usize = 20;

/// Something in a manifest that has to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// For example `spec.containers[0].image`.
    pub(crate) path: String,
    pub(crate) line: u64,
    /// What is wrong with it, to be read after the path.
    pub(crate) text: String,
}

/// Why a manifest can't be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("{0}")]
    Syntax(String),
    #[error("there is nothing in it: write a Pod, with apiVersion, kind, metadata and spec")]
    Empty,
    #[error("it holds {count} documents, the second on line {line}: put each Pod into a file of its own")]
    Several { count: usize, line: u64 },
    #[error("it is a {kind}, and `peapod run` runs a Pod (apiVersion v1)")]
    NotAPod { kind: String },
    #[error("{}", list(.0))]
    Mistakes(Vec<Mistake>),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} {}", self.line, self.path, self.text)
    }
}

fn list(mistakes: &[Mistake]) -> String {
    if let [only] = mistakes {
        return only.to_string();
    }
    let mut lines = vec![format!("{} mistakes", mistakes.len())];
    lines.extend(mistakes.iter().take(SHOWN).map(|mistake| format!("  {mistake}")));
    if mistakes.len() > SHOWN {
        lines.push("  and more".to_owned());
    }
    lines.join("\n")
}

/// Reads the text of a manifest.
pub(crate) fn read(text: &str) -> Result<Pod, ManifestError> {
    let documents: Vec<YamlNode> =
        serde_saphyr::from_multiple(text).map_err(|error| ManifestError::Syntax(syntax(&error)))?;
    let documents: Vec<YamlNode> = documents.into_iter().filter(|node| node.value != YamlValue::Null).collect();
    let document = match documents.as_slice() {
        [] => return Err(ManifestError::Empty),
        [document] => document,
        [_, second, ..] => return Err(ManifestError::Several { count: documents.len(), line: second.line }),
    };
    is_a_pod(document)?;
    let mistakes = check::check(document);
    if !mistakes.is_empty() {
        return Err(ManifestError::Mistakes(mistakes));
    }
    pod::build(document).map_err(ManifestError::Mistakes)
}

/// Tells another kind before its fields are called unknown one by one.
fn is_a_pod(document: &YamlNode) -> Result<(), ManifestError> {
    let field = |name| document.get(name).and_then(YamlNode::text).unwrap_or_default();
    match (field("apiVersion"), field("kind")) {
        ("" | "v1", "" | "Pod") => Ok(()),
        (version, kind) => Err(ManifestError::NotAPod { kind: format!("{kind} of apiVersion {version}") }),
    }
}

/// One line, without the drawing of the place.
fn syntax(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.lines().next().unwrap_or_default();
    match error.location() {
        Some(place) if !text.contains("line ") => format!("line {}: {text}", place.line()),
        _ => text.to_owned(),
    }
}
