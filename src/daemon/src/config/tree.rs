//! TOML texts as one tree in which every value knows where it was written.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Location, Problems};

/// Values by key.
pub(super) type Tree = BTreeMap<String, TomlNode>;

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct TomlNode {
    pub(super) value: TomlValue,
    pub(super) location: Location,
}

/// What a configuration can hold.
#[derive(Clone, Debug)]
pub(super) enum TomlValue {
    Text(String),
    Integer(i64),
    Flag(bool),
    List(Vec<TomlNode>),
    Table(Tree),
    /// A kind that no key takes.
    Other(&'static str),
}

impl TomlValue {
    /// For messages: what it is.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads a file's text. What can't be read becomes a problem; the rest is still returned, so that it is checked too.
pub(super) fn parse(name: &str, text: &str, problems: &Problems) -> Tree {
    let source = Source { file: name.into(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let location = Location { file: source.file.clone(), line: error.span().map(|span| source.line(span.start)) };
        problems.add(Some(&location), "", error.message());
    }
    source.tree(table.get_ref())
}

/// Reads `key.key=value` of the command line; a value that isn't TOML is text.
pub(super) fn parse_option(option: &str, problems: &Problems) -> Tree {
    let location = Location::option(&format!("--set {option}"));
    let Some((key, value)) = option.split_once('=') else {
        problems.add(Some(&location), "", "should be KEY=VALUE, for example network.mtu=1400");
        return Tree::new();
    };
    let source = Source { file: location.file.clone(), text: value };
    let value = match DeValue::parse(value.trim()) {
        Ok(parsed) => source.value(parsed.get_ref()),
        Err(_) => TomlValue::Text(value.to_owned()),
    };
    let mut node = TomlNode { value, location: location.clone() };
    for part in key.trim().rsplit('.') {
        node = TomlNode {
            value: TomlValue::Table(Tree::from([(part.trim().to_owned(), node)])),
            location: location.clone(),
        };
    }
    match node.value {
        TomlValue::Table(tree) => tree,
        _ => Tree::new(),
    }
}

/// Puts a later text over an earlier one: tables are merged, anything else is replaced.
pub(super) fn merge(into: &mut Tree, from: Tree) {
    for (key, node) in from {
        match (into.get_mut(&key), node) {
            (Some(TomlNode { value: TomlValue::Table(old), .. }), TomlNode { value: TomlValue::Table(new), .. }) => {
                merge(old, new);
            }
            (_, node) => {
                into.insert(key, node);
            }
        }
    }
}

struct Source<'t> {
    file: Arc<str>,
    text: &'t str,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        before.iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    fn tree(&self, table: &DeTable<'_>) -> Tree {
        table.iter().map(|(key, value)| (key.get_ref().to_string(), self.node(value, key.span().start))).collect()
    }

    /// Tables of several lines are placed by their key, values by themselves.
    fn node(&self, value: &Spanned<DeValue<'_>>, key: usize) -> TomlNode {
        let offset = if value.get_ref().is_table() { key } else { value.span().start };
        let line = (!self.file.starts_with("--set")).then(|| self.line(offset));
        TomlNode { value: self.value(value.get_ref()), location: Location { file: self.file.clone(), line } }
    }

    fn value(&self, value: &DeValue<'_>) -> TomlValue {
        match value {
            DeValue::String(text) => TomlValue::Text(text.to_string()),
            DeValue::Integer(number) => {
                let digits = number.as_str().replace('_', "");
                i64::from_str_radix(&digits, number.radix())
                    .map_or(TomlValue::Other("a number out of range"), TomlValue::Integer)
            }
            DeValue::Boolean(flag) => TomlValue::Flag(*flag),
            DeValue::Float(_) => TomlValue::Other("a number with a fraction"),
            DeValue::Datetime(_) => TomlValue::Other("a date"),
            DeValue::Array(list) => {
                TomlValue::List(list.iter().map(|value| self.node(value, value.span().start)).collect())
            }
            DeValue::Table(table) => TomlValue::Table(self.tree(table)),
        }
    }
}
