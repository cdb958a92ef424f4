//! The pod template of a Job or a Deployment: one Pod, of which many are made.

use super::Mistake;
use super::builder::{Builder, Built};
use super::objects::Objects;
use super::pod::{self, Pod};
use super::tree::{MapEntry, YamlNode, YamlValue};

/// A Pod without a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodTemplate {
    pod: Pod,
    hostname: TemplateHostname,
    /// Of all that is in it: another template has another one.
    pub(crate) hash: String,
}

/// What pods are called inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplateHostname {
    Own,
    PodName,
}

impl PodTemplate {
    /// A pod of it.
    pub(crate) fn named(&self, name: &str) -> Pod {
        let mut pod = self.pod.clone();
        if self.hostname == TemplateHostname::PodName {
            pod.network.name_after(name);
        }
        name.clone_into(&mut pod.name);
        pod
    }

    /// Says of which manifest its pods are.
    pub(super) fn set_file(&mut self, file: &str) {
        self.pod.metadata.file = Some(file.to_owned());
    }

    /// Without all that can be another one while pods of it run.
    pub(crate) fn fixed(&self) -> Self {
        Self { pod: self.pod.fixed(), hostname: self.hostname, hash: self.hash.clone() }
    }

    pub(crate) fn pod(&self) -> &Pod {
        &self.pod
    }
}

/// The pods of the template at `spec.template`.
pub(super) fn build(document: &YamlNode, objects: &Objects) -> Built<PodTemplate> {
    let Some(template) = document.get("spec").and_then(|spec| spec.get("template")) else {
        let (path, text) = ("spec.template".to_owned(), "is missing".to_owned());
        return Err(vec![Mistake { file: String::new(), path, line: document.line, text }]);
    };
    let as_pod = as_pod(document, template);
    let (pod, notes) = pod::build(Builder::new(&as_pod, objects).within("spec.template."))?;
    let is_set = |field: &str| {
        let node = template.get("spec").and_then(|spec| spec.get(field));
        node.and_then(YamlNode::text).is_some_and(|text| !text.is_empty())
    };
    let is_own = is_set("hostname") || is_set("hostnameOverride");
    let hostname = if is_own { TemplateHostname::Own } else { TemplateHostname::PodName };
    Ok((PodTemplate { pod, hostname, hash: hash(template) }, notes))
}

/// The template as the document of a Pod, under the name and in the namespace of its owner.
fn as_pod(document: &YamlNode, template: &YamlNode) -> YamlNode {
    let line = template.line;
    let text = |key: &str, text: &str| MapEntry {
        key: key.to_owned(),
        line,
        node: YamlNode { line, value: YamlValue::Text(text.to_owned()) },
    };
    let mut entries = vec![text("apiVersion", "v1"), text("kind", "Pod")];
    let mut metadata = vec![];
    let owner = document.get("metadata");
    for key in ["name", "namespace"] {
        let node = owner.and_then(|owner| owner.get(key));
        metadata.extend(node.map(|node| MapEntry { key: key.to_owned(), line: node.line, node: node.clone() }));
    }
    match &template.value {
        YamlValue::Map(given) => {
            for entry in given {
                match (&entry.node.value, entry.key.as_str()) {
                    (YamlValue::Map(inner), "metadata") => {
                        // A template's own name and namespace count for nothing; Kubernetes sets both.
                        metadata
                            .extend(inner.iter().filter(|entry| !matches!(&*entry.key, "name" | "namespace")).cloned());
                    }
                    _ => entries.push(entry.clone()),
                }
            }
        }
        _ => entries.push(MapEntry { key: "spec".to_owned(), line, node: template.clone() }),
    }
    let node = YamlNode { line, value: YamlValue::Map(metadata) };
    entries.push(MapEntry { key: "metadata".to_owned(), line, node });
    YamlNode { line, value: YamlValue::Map(entries) }
}

/// Eight letters that look like no word (FNV-1a over the template as JSON, whose keys are in order).
pub(super) fn hash(node: &YamlNode) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = node.to_json().to_string();
    let mut hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut letters = String::new();
    for _ in 0..8 {
        letters.push(char::from(LETTERS[(hash % 27) as usize]));
        hash /= 27;
    }
    letters
}
