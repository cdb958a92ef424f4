//! Why there is no session, or none any more.

use std::io;
use std::time::Duration;

use crate::bounds::{CHANNEL_MESSAGE_BYTES, STREAMING_ANSWER};

/// What went wrong between this client and a runtime's streaming server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error(
        "everything was sent, but this runtime can't be told that it was all (it speaks v4.channel.k8s.io), and the \
         command goes on waiting: what it was sent should be there"
    )]
    Deaf,
    /// What the runtime answered.
    #[error("the runtime answered `{url}`, which is no http or https address of a session")]
    Url { url: String },
    /// Nobody is there.
    #[error("can't connect to the runtime's streaming server at {address}: {source}")]
    Connect { address: String, source: io::Error },
    /// It is there, and says nothing.
    #[error("the runtime's streaming server at {address} did not answer within {} s", STREAMING_ANSWER.as_secs())]
    Silent { address: String },
    /// Its certificate is believed on this node alone.
    #[error(
        "the runtime's streaming server is at {address}, which is not on this node: nobody vouches for its \
         certificate. Run this on its node, or use crictl, which can be given an authority"
    )]
    Elsewhere { address: String },
    /// It does not switch to the session.
    #[error("the runtime's streaming server refused the session: {text}")]
    Refused { text: String },
    /// The command could not be started, or was not kept up with.
    #[error("{0}")]
    Failed(String),
    /// The connection ended without a word.
    #[error("the session broke off{0}: the runtime, the pod or its node may have ended")]
    Broke(String),
    /// It said something that is no message of the protocol.
    #[error("the runtime's streaming server sent what makes no sense, or more than {CHANNEL_MESSAGE_BYTES} bytes: {0}")]
    Nonsense(String),
    /// It took longer than its client had wanted to wait.
    #[error("the command did not end within {} s: its session was ended", .0.as_secs())]
    TimedOut(Duration),
    /// This end's own.
    #[error("{what}: {source}")]
    Local { what: &'static str, source: io::Error },
}

impl StreamError {
    /// The session was there, and what became of the command is not known.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Broke(_) | Self::Nonsense(_))
    }

    /// Of something that this process does with its own streams.
    pub(crate) fn local(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Local { what, source }
    }
}
