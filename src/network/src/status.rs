//! Whether the network can be used.

/// What to tell those who ask whether pods can have a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Whether pods can be attached.
    pub ready: bool,
    /// Which network it is, such as `built-in bridge peapod0`.
    pub name: String,
    /// One word for programs; empty if ready.
    pub reason: String,
    /// For people: what is used, or what is missing and the way out.
    pub message: String,
}
