//! What the streaming server says to the daemon.

use crate::message::{DecodeError, SessionMessage};
use crate::token::SessionToken;
use crate::wire::{FieldReader, FieldWriter};

/// From the streaming server to the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToDaemon {
    /// It has confined itself and accepts clients: said once, as the first message.
    Listening,
    /// A client is there with this token, and has opened its streams: the session is to be opened now. The token is
    /// used.
    Claimed {
        /// As it was registered.
        token: SessionToken,
    },
    /// The client of a claimed session has left before that was there.
    Gone {
        /// As it was claimed.
        token: SessionToken,
    },
    /// Nobody came in time; or who came spoke no protocol of ours, and the token is used.
    Expired {
        /// As it was registered.
        token: SessionToken,
    },
    /// Certificate and key that came while it serves can't be used: it goes on with those that it had.
    TlsRefused {
        /// Why, for the log.
        text: String,
    },
    /// It can't serve, and ends.
    Failed {
        /// Why, for the log.
        text: String,
    },
}

impl SessionMessage for ToDaemon {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Listening => FieldWriter::new(1).done(),
            Self::Claimed { token } => FieldWriter::new(2).token(token).done(),
            Self::Gone { token } => FieldWriter::new(3).token(token).done(),
            Self::Expired { token } => FieldWriter::new(4).token(token).done(),
            Self::Failed { text } => FieldWriter::new(5).text(text).done(),
            Self::TlsRefused { text } => FieldWriter::new(6).text(text).done(),
        }
    }

    fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        FieldReader::all(datagram, |kind, fields| match kind {
            1 => Ok(Self::Listening),
            2 => Ok(Self::Claimed { token: fields.token()? }),
            3 => Ok(Self::Gone { token: fields.token()? }),
            4 => Ok(Self::Expired { token: fields.token()? }),
            5 => Ok(Self::Failed { text: fields.text()? }),
            6 => Ok(Self::TlsRefused { text: fields.text()? }),
            other => Err(DecodeError::Kind(other)),
        })
    }

    /// It is what strangers speak to: nothing of its is taken.
    fn descriptors(&self) -> usize {
        0
    }
}
