//! Something of the node is not any more what a container's configuration was made from.

use crate::error::Error;
use crate::id::ContainerId;

/// What is not any more as it was.
#[derive(Debug)]
pub(super) struct NodeChange {
    /// The request's field.
    pub(super) field: String,
    pub(super) reason: String,
}

impl NodeChange {
    pub(super) fn into_error(self, id: &ContainerId) -> Error {
        Error::Precondition {
            what: "container",
            id: id.to_string(),
            state: format!("made for another {}: {}", self.field, self.reason),
            need: "it starts only with what it was created with: remove it and create it again",
        }
    }
}
