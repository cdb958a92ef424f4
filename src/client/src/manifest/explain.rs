//! What each field of a document will do, in words.

use super::effect::{Effect, Schema};
use super::place::FieldPlace;
use super::tree::{YamlNode, YamlValue};

/// A field that is set, and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExplainedField {
    pub(crate) line: u64,
    pub(crate) path: String,
    pub(crate) effect: String,
}

/// Every field of a document that passed the check, in its order.
pub(super) fn explain(document: &YamlNode, schema: &Schema) -> Vec<ExplainedField> {
    let mut found = Vec::new();
    walk(document, document.line, schema, Effect::Does(""), &FieldPlace::default(), &mut found);
    found
}

fn walk(
    node: &YamlNode,
    line: u64,
    schema: &Schema,
    effect: Effect,
    place: &FieldPlace,
    found: &mut Vec<ExplainedField>,
) {
    match (schema, &node.value) {
        (_, YamlValue::Null) => {}
        (Schema::Map(fields), YamlValue::Map(entries)) if !entries.is_empty() => {
            for entry in entries {
                if let Some(field) = fields.iter().find(|field| field.is_named(&entry.key)) {
                    let place = place.key(&entry.key);
                    walk(&entry.node, entry.line, &field.shape, field.effect, &place, found);
                }
            }
        }
        (Schema::List(item @ Schema::Map(_)), YamlValue::List(nodes)) => {
            for (index, node) in nodes.iter().enumerate() {
                walk(node, node.line, item, effect, &place.index(index), found);
            }
        }
        _ => {
            let effect = match effect {
                Effect::Does("") => "nothing is asked for".to_owned(),
                Effect::Does(what) => what.to_owned(),
                Effect::Idle(why) => format!("without effect: {why}"),
                Effect::Refused(why) => format!("refused: {why}"),
            };
            found.push(ExplainedField { line, path: place.path.clone(), effect });
        }
    }
}
