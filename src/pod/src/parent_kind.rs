//! What the parent of a pod's cgroups is.

use serde::{Deserialize, Serialize};

/// Whose the cgroup is below which a pod's containers have theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParentKind {
    /// All pods' whose clients name none.
    #[default]
    Shared,
    /// The client's, which named it: it makes, limits and removes it.
    Given,
    /// The pod's. It has limits as a whole, which peapod sets on it, and goes with the pod.
    Own,
}

impl ParentKind {
    /// Whether the group has what one pod uses, and nothing else.
    #[must_use]
    pub fn is_of_one_pod(self) -> bool {
        match self {
            Self::Shared => false,
            Self::Given | Self::Own => true,
        }
    }
}
