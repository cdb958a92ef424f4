//! What a client is promised. Pure.

use peapod_pod::{ContainerId, ExecSession, PodId};
use peapod_streaming_protocol::{CommandStreams, SessionKind};

/// What a client was promised.
#[derive(Clone, Debug)]
pub(crate) enum PendingSession {
    Exec { container: ContainerId, session: ExecSession },
    Attach { container: ContainerId, streams: CommandStreams },
    PortForward { pod: PodId, ports: Vec<u16> },
}

impl PendingSession {
    /// The part of the URL before the token.
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Attach { .. } => "attach",
            Self::PortForward { .. } => "portforward",
        }
    }

    /// As the server knows it.
    pub(super) fn kind(&self) -> SessionKind {
        match self {
            Self::Exec { session, .. } => SessionKind::Exec(session.streams),
            Self::Attach { streams, .. } => SessionKind::Attach(*streams),
            Self::PortForward { ports, .. } => SessionKind::PortForward(ports.clone()),
        }
    }

    /// What its command takes in memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Exec { session, .. } => {
                session.command.iter().map(|word| word.capacity() + size_of::<String>()).sum()
            }
            Self::Attach { .. } | Self::PortForward { .. } => 0,
        }
    }
}
