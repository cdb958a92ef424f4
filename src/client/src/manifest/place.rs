//! Where in a document something stands.

/// A path, for people and for programs.
#[derive(Clone, Debug, Default)]
pub(super) struct FieldPlace {
    /// For example `spec.containers[0].image`.
    pub(super) path: String,
    /// The same as a JSON pointer, RFC 6901: keys of the user's own may have dots in them.
    pub(super) pointer: String,
}

impl FieldPlace {
    /// A key of the map that is here.
    pub(super) fn key(&self, key: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let escaped = key.replace('~', "~0").replace('/', "~1");
        Self { path: format!("{}{dot}{key}", self.path), pointer: format!("{}/{escaped}", self.pointer) }
    }

    /// An item of the list that is here.
    pub(super) fn index(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), pointer: format!("{}/{index}", self.pointer) }
    }
}
