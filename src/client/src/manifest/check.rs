//! Holds a document against the fields that peapod carries out.

use super::effect::{Effect, FieldSchema, Schema};
use super::known::{KnownBelow, KnownFields};
use super::place::FieldPlace;
use super::tree::{MapEntry, YamlNode, YamlValue};
use super::{IdleField, Mistake};
use crate::bounds::MANIFEST_MISTAKES;

/// What a document says that peapod does not do.
#[derive(Default)]
pub(super) struct Findings {
    /// Every place where it asks for something else, in its order.
    pub(super) mistakes: Vec<Mistake>,
    /// Every field that is accepted and changes nothing.
    pub(super) idle: Vec<IdleField>,
}

/// Looks through a document of a kind.
pub(super) fn check(document: &YamlNode, schema: &Schema, known: KnownFields) -> Findings {
    let mut walk = SchemaCheck { known, found: Findings::default() };
    walk.node(document, schema, &FieldPlace::default());
    walk.found
}

struct SchemaCheck {
    known: KnownFields,
    found: Findings,
}

impl SchemaCheck {
    fn add_mistake(&mut self, place: &FieldPlace, line: u64, text: String) {
        let mistake = || Mistake { file: String::new(), path: place.path.clone(), line, text };
        super::add_mistake(&mut self.found.mistakes, mistake);
    }

    fn node(&mut self, node: &YamlNode, shape: &Schema, place: &FieldPlace) {
        match (shape, &node.value) {
            (Schema::Map(fields), YamlValue::Map(entries)) => self.map(node.line, entries, fields, place),
            (Schema::Texts, YamlValue::Map(entries)) => {
                for entry in entries {
                    self.node(&entry.node, &Schema::Text, &place.key(&entry.key));
                }
            }
            (Schema::List(item), YamlValue::List(nodes)) => {
                for (index, node) in nodes.iter().enumerate() {
                    self.node(node, item, &place.index(index));
                }
            }
            (Schema::Any, _) => any(node, self.known.at(place), &mut DeepPlace::below(place), &mut self.found.mistakes),
            (Schema::Text, YamlValue::Text(_))
            | (Schema::Integer, YamlValue::Integer(_))
            | (Schema::Port | Schema::Share, YamlValue::Integer(_) | YamlValue::Text(_))
            | (Schema::Flag, YamlValue::Flag(_))
            | (Schema::Quantity, YamlValue::Text(_) | YamlValue::Integer(_) | YamlValue::Real(_)) => {}
            (Schema::Text, YamlValue::Flag(_) | YamlValue::Integer(_) | YamlValue::Real(_)) => {
                self.add_mistake(
                    place,
                    node.line,
                    format!("has to be text, not {}: put it into quotes", node.value.kind()),
                );
            }
            (_, value) => {
                self.add_mistake(place, node.line, format!("has to be {}, not {}", shape.wanted(), value.kind()));
            }
        }
    }

    fn map(&mut self, line: u64, entries: &[MapEntry], fields: &[FieldSchema], place: &FieldPlace) {
        for entry in entries {
            let place = place.key(&entry.key);
            match fields.iter().find(|field| field.is_named(&entry.key)) {
                // Null means "not set".
                _ if entry.node.value == YamlValue::Null => {}
                Some(field) => self.field(entry, field, &place),
                // What generators write for "nothing asked for", such as `resources: {}`.
                None if entry.node.is_empty() && self.known.has(&place) => {}
                None => self.refuse(entry, fields, &place),
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if !entries.iter().any(|entry| entry.key == field.name && entry.node.value != YamlValue::Null) {
                let is_generated = field.name == "name" && entries.iter().any(|entry| entry.key == "generateName");
                let why = if is_generated { ": generateName is for a server, which makes names up" } else { "" };
                self.add_mistake(&place.key(field.name), line, format!("is missing{why}"));
            }
        }
    }

    fn field(&mut self, entry: &MapEntry, field: &FieldSchema, place: &FieldPlace) {
        match field.effect {
            Effect::Refused(_) if entry.node.is_empty() => {}
            Effect::Refused(why) => {
                self.add_mistake(place, entry.line, format!("can't be carried out by `peapod run`: {why}"));
            }
            Effect::Idle(why) => {
                if !entry.node.is_empty() {
                    self.found.idle.push(IdleField { path: place.path.clone(), why });
                }
                self.node(&entry.node, &field.shape, place);
            }
            Effect::Does(_) => self.node(&entry.node, &field.shape, place),
        }
    }

    fn refuse(&mut self, entry: &MapEntry, fields: &[FieldSchema], place: &FieldPlace) {
        if self.found.mistakes.len() > MANIFEST_MISTAKES {
            return;
        }
        let kind = self.known.kind();
        let text = match (self.known.has(place), nearest(&entry.key, fields)) {
            (true, _) => {
                "is not supported by `peapod run`: remove it if you can do without what it asks for".to_owned()
            }
            (false, Some(name)) => format!("is no field of a {kind}; is `{name}` meant?"),
            (false, None) => format!("is no field of a {kind}: remove it"),
        };
        self.add_mistake(place, entry.line, text);
    }
}

/// A place that lies deep, put into words when somebody asks for them: to write each down would cost its depth.
struct DeepPlace<'a> {
    begin: &'a FieldPlace,
    steps: Vec<Step<'a>>,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> DeepPlace<'a> {
    fn below(begin: &'a FieldPlace) -> Self {
        Self { begin, steps: Vec::new() }
    }

    fn path(&self) -> String {
        let further = |place: FieldPlace, step: &Step<'_>| match step {
            Step::Key(key) => place.key(key),
            Step::Index(index) => place.index(*index),
        };
        self.steps.iter().fold(self.begin.clone(), further).path
    }
}

/// What nobody here reads has to be a field all the same.
fn any<'a>(node: &'a YamlNode, known: KnownBelow<'_>, place: &mut DeepPlace<'a>, mistakes: &mut Vec<Mistake>) {
    match &node.value {
        YamlValue::Map(entries) => {
            for entry in entries.iter().filter(|entry| !entry.node.is_empty()) {
                place.steps.push(Step::Key(&entry.key));
                match known.key(&entry.key) {
                    Some(below) => any(&entry.node, below, place, mistakes),
                    None => super::add_mistake(mistakes, || Mistake {
                        file: String::new(),
                        path: place.path(),
                        line: entry.line,
                        text: "is no field that Kubernetes knows: remove it".to_owned(),
                    }),
                }
                place.steps.pop();
            }
        }
        YamlValue::List(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                place.steps.push(Step::Index(index));
                any(node, known.index(index), place, mistakes);
                place.steps.pop();
            }
        }
        _ => {}
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
