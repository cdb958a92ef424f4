//! PID namespaces of pods and containers.

use serde::{Deserialize, Serialize};

/// Which PID namespace a process gets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// One for the pod, with pod init as its PID 1.
    #[default]
    Pod,
    /// One for each container.
    Container,
    /// The node's.
    Node,
    /// That of another container of the pod, by its full id. Only for containers.
    Target(String),
}
