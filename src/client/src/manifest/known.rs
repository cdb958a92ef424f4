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

    pub(super) fn has(&self, place: &FieldPlace) -> bool {
        self.rest.as_ref().is_none_or(|rest| rest.pointer(&place.pointer).is_some())
    }
}
