//! A YAML or JSON document in which every key knows its line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::bounds::MANIFEST_KEY_BYTES;

/// A value and the line on which it starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct YamlNode {
    pub(super) line: u64,
    pub(super) value: YamlValue,
}

/// What a document is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum YamlValue {
    Null,
    Flag(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    List(Vec<YamlNode>),
    /// In the order of the document; a key can't be there twice.
    Map(Vec<MapEntry>),
}

/// A key of a map, with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MapEntry {
    pub(super) key: String,
    pub(super) line: u64,
    pub(super) node: YamlNode,
}

impl YamlNode {
    /// The value of a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&YamlNode> {
        match &self.value {
            YamlValue::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The line of `spec.containers[0].name` and the like, or of the nearest that is there.
    pub(super) fn line_at(&self, path: &str) -> u64 {
        let mut node = self;
        let mut line = self.line;
        for part in path.split(['.', '[']).filter(|part| !part.is_empty()) {
            let next = match (&node.value, part.strip_suffix(']')) {
                (YamlValue::List(items), Some(index)) => {
                    index.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item.line, item))
                }
                (YamlValue::Map(entries), _) => {
                    entries.iter().find(|entry| entry.key == part).map(|entry| (entry.line, &entry.node))
                }
                _ => None,
            };
            let Some(found) = next else { break };
            (line, node) = found;
        }
        line
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Null, or an empty map or list: it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            YamlValue::Null => true,
            YamlValue::List(items) => items.is_empty(),
            YamlValue::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }

    /// How many values are in it, itself counted, and how many bytes their texts and keys have.
    pub(super) fn size(&self) -> (usize, usize) {
        let sum = |sizes: &mut dyn Iterator<Item = (usize, usize)>| {
            sizes.fold((1, 0), |(values, bytes), (more, longer)| (values + more, bytes + longer))
        };
        match &self.value {
            YamlValue::Text(text) => (1, text.len()),
            YamlValue::List(items) => sum(&mut items.iter().map(Self::size)),
            YamlValue::Map(entries) => sum(&mut entries.iter().map(|entry| {
                let (values, bytes) = entry.node.size();
                (values + 1, bytes + entry.key.len())
            })),
            _ => (1, 0),
        }
    }

    /// The same without lines.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            YamlValue::Null => serde_json::Value::Null,
            YamlValue::Flag(flag) => (*flag).into(),
            YamlValue::Integer(number) => (*number).into(),
            YamlValue::Real(number) => (*number).into(),
            YamlValue::Text(text) => text.as_str().into(),
            YamlValue::List(items) => items.iter().map(Self::to_json).collect(),
            YamlValue::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect(),
        }
    }
}

impl YamlValue {
    /// What it is, as a user would say it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "true or false",
            Self::Integer(_) | Self::Real(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<YamlValue>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for YamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = YamlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_none<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<YamlValue, D::Error> {
        YamlValue::deserialize(deserializer)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<YamlValue, E> {
        Ok(YamlValue::Flag(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<YamlValue, E> {
        Ok(YamlValue::Integer(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<YamlValue, E> {
        i64::try_from(number).map(YamlValue::Integer).map_err(|_| E::custom("a number that is too large"))
    }

    fn visit_f64<E>(self, number: f64) -> Result<YamlValue, E> {
        Ok(YamlValue::Real(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<YamlValue, E> {
        Ok(YamlValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<YamlValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(YamlValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<YamlValue, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            if key.value.len() > MANIFEST_KEY_BYTES {
                return Err(A::Error::custom(format!("a key of more than {MANIFEST_KEY_BYTES} bytes")));
            }
            entries.push(MapEntry { key: key.value, line, node: access.next_value()? });
        }
        Ok(YamlValue::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_value_knows_its_line() {
        let node: YamlNode = serde_saphyr::from_str("a: 1\nb:\n  - x: yes\n    y: 'no'\n  - z\nc: {}\nd:\n").unwrap();
        let YamlValue::Map(entries) = &node.value else { panic!("{node:?}") };
        assert_eq!(
            entries.iter().map(|e| (e.key.as_str(), e.line)).collect::<Vec<_>>(),
            [("a", 1), ("b", 2), ("c", 6), ("d", 7)]
        );
        let YamlValue::List(items) = &entries[1].node.value else { panic!() };
        assert_eq!(items[0].get("x"), Some(&YamlNode { line: 3, value: YamlValue::Flag(true) }));
        assert_eq!(items[0].get("y"), Some(&YamlNode { line: 4, value: YamlValue::Text("no".into()) }));
        assert_eq!(items[1].line, 5);
        assert!(entries[2].node.is_empty() && entries[3].node.is_empty());
    }

    #[test]
    fn json_is_read_too_and_a_key_can_not_be_there_twice() {
        let node: YamlNode = serde_saphyr::from_str("{\n\t\"a\": [1, null, -2.5],\n\t\"b\": \"8080\"\n}\n").unwrap();
        assert_eq!(node.to_json(), serde_json::json!({"a": [1, null, -2.5], "b": "8080"}));
        assert_eq!(node.get("b").unwrap().line, 3);
        assert!(serde_saphyr::from_str::<YamlNode>("a: 1\na: 2\n").is_err());
    }
}
