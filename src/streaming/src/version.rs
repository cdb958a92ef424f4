//! The versions of Kubernetes' protocol for commands.

/// A version of Kubernetes' protocol for commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CommandVersion {
    /// Errors as text; the error stream is reset, not closed.
    V1,
    /// Errors as text.
    V2,
    /// A terminal's size can change.
    V3,
    /// The end is told as JSON.
    V4,
    /// Over WebSocket the client can close its end of a channel.
    V5,
}

impl CommandVersion {
    /// There is a stream for a terminal's size.
    #[must_use]
    pub fn has_resize(self) -> bool {
        self >= Self::V3
    }

    /// The end is told as JSON, also a good one.
    #[must_use]
    pub fn has_json_status(self) -> bool {
        self >= Self::V4
    }

    /// The one of that name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "channel.k8s.io" => Self::V1,
            "v2.channel.k8s.io" => Self::V2,
            "v3.channel.k8s.io" => Self::V3,
            "v4.channel.k8s.io" => Self::V4,
            "v5.channel.k8s.io" => Self::V5,
            _ => return None,
        })
    }
}
