//! Which fields of a document Kubernetes knows: those that survive its own types.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::place::FieldPlace;
use super::tree::YamlNode;

/// What is left of a document.
pub(super) struct KnownFields {
    kind: &'static str,
    /// Nothing if some value has a type that Kubernetes does not read; then every field is taken for known.
    rest: Option<serde_json::Value>,
}

impl KnownFields {
    /// Reads a document as `T`, which is called `kind`.
    pub(super) fn of<T: Serialize + DeserializeOwned>(kind: &'static str, document: &YamlNode) -> Self {
        let read = serde_json::from_value::<T>(document.to_json()).ok();
        Self { kind, rest: read.and_then(|read| serde_json::to_value(read).ok()) }
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// What is left below a place.
    pub(super) fn at(&self, place: &FieldPlace) -> KnownBelow<'_> {
        KnownBelow(self.rest.as_ref().map(|rest| rest.pointer(&place.pointer)))
    }

    pub(super) fn has(&self, place: &FieldPlace) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.pointer(&place.pointer).is_some())
    }
}

/// The same of one value.
#[derive(Clone, Copy)]
pub(super) struct KnownBelow<'a>(Option<Option<&'a serde_json::Value>>);

impl<'a> KnownBelow<'a> {
    /// Below a key; nothing if that is no field.
    pub(super) fn key(self, key: &str) -> Option<Self> {
        Some(self.further(|value| value.get(key))).filter(Self::is_there)
    }

    /// Below an item of a list.
    pub(super) fn index(self, index: usize) -> Self {
        self.further(|value| value.get(index))
    }

    fn further(self, find: impl FnOnce(&'a serde_json::Value) -> Option<&'a serde_json::Value>) -> Self {
        Self(self.0.map(|value| value.and_then(find)))
    }

    fn is_there(&self) -> bool {
        self.0.is_none_or(|value| value.is_some())
    }
}
