//! Holds a document against the fields that peapod carries out.

use k8s_openapi::api::core::v1::Pod;

use super::Mistake;
use super::schema::{FieldSchema, POD, Schema};
use super::tree::{MapEntry, YamlNode, YamlValue};

/// Every place where the document asks for something else, in its order.
pub(super) fn check(document: &YamlNode) -> Vec<Mistake> {
    let mut walk = SchemaCheck { known: KnownFields::of(document), mistakes: Vec::new() };
    walk.node(document, &POD, "");
    walk.mistakes
}

struct SchemaCheck {
    known: Option<KnownFields>,
    mistakes: Vec<Mistake>,
}

impl SchemaCheck {
    fn add_mistake(&mut self, path: &str, line: u64, text: String) {
        self.mistakes.push(Mistake { path: path.to_owned(), line, text });
    }

    fn node(&mut self, node: &YamlNode, shape: &Schema, path: &str) {
        match (shape, &node.value) {
            (Schema::Map(fields), YamlValue::Map(entries)) => self.map(node.line, entries, fields, path),
            (Schema::Texts, YamlValue::Map(entries)) => {
                for entry in entries {
                    self.node(&entry.node, &Schema::Text, &join(path, &entry.key));
                }
            }
            (Schema::List(item), YamlValue::List(nodes)) => {
                for (index, node) in nodes.iter().enumerate() {
                    self.node(node, item, &format!("{path}[{index}]"));
                }
            }
            (Schema::Text, YamlValue::Text(_))
            | (Schema::Integer, YamlValue::Integer(_))
            | (Schema::Flag, YamlValue::Flag(_)) => {}
            (Schema::Text, YamlValue::Flag(_) | YamlValue::Integer(_) | YamlValue::Real(_)) => {
                self.add_mistake(
                    path,
                    node.line,
                    format!("has to be text, not {}: put it into quotes", node.value.kind()),
                );
            }
            (_, value) => {
                self.add_mistake(path, node.line, format!("has to be {}, not {}", shape.wanted(), value.kind()));
            }
        }
    }

    fn map(&mut self, line: u64, entries: &[MapEntry], fields: &[FieldSchema], path: &str) {
        for entry in entries {
            let path = join(path, &entry.key);
            match fields.iter().find(|field| field.name == entry.key) {
                // Null means "not set".
                _ if entry.node.value == YamlValue::Null => {}
                Some(field) => self.node(&entry.node, &field.shape, &path),
                // What generators write for "nothing asked for", such as `resources: {}`.
                None if entry.node.is_empty() && self.is_known(&path) => {}
                None => self.refuse(entry, fields, &path),
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !entries.iter().any(|entry| entry.key == field.name && entry.node.value != YamlValue::Null) {
                self.add_mistake(&join(path, field.name), line, "is missing".to_owned());
            }
        }
    }

    fn is_known(&self, path: &str) -> bool {
        self.known.as_ref().is_none_or(|known| known.has(path))
    }

    fn refuse(&mut self, entry: &MapEntry, fields: &[FieldSchema], path: &str) {
        let text = match (self.is_known(path), nearest(&entry.key, fields)) {
            (true, _) => "is not supported by `peapod run`, and without it this would be another pod: \
                          remove it if the pod may run without"
                .to_owned(),
            (false, Some(name)) => format!("is no field of a Pod; is `{name}` meant?"),
            (false, None) => "is no field of a Pod: remove it".to_owned(),
        };
        self.add_mistake(path, entry.line, text);
    }
}

/// Which of the document's fields Kubernetes knows: those that survive its own types.
struct KnownFields(serde_json::Value);

impl KnownFields {
    /// Nothing if some value has a type that Kubernetes does not read.
    fn of(document: &YamlNode) -> Option<Self> {
        let pod: Pod = serde_json::from_value(document.to_json()).ok()?;
        serde_json::to_value(pod).ok().map(Self)
    }

    fn has(&self, path: &str) -> bool {
        let pointer = path.replace(['.', '['], "/").replace(']', "");
        self.0.pointer(&format!("/{pointer}")).is_some()
    }
}

/// The field whose name differs least, if it is but a slip of the pen.
fn nearest(key: &str, fields: &[FieldSchema]) -> Option<&'static str> {
    let (distance, name) = fields.iter().map(|field| (distance(key, field.name), field.name)).min()?;
    (distance <= 1 + key.len() / 5).then_some(name)
}

/// How many letters have to be added, removed or replaced, whatever their case.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
