//! What a shim says to the streaming server, on the connection of one session.

use crate::message::{DecodeError, SessionMessage};
use crate::to_server::CommandStreams;
use crate::token::SessionToken;
use crate::wire::{FieldReader, FieldWriter};

/// From a shim to the streaming server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSession {
    /// Which session this is: the first message, said once.
    Hello {
        /// As it was claimed.
        token: SessionToken,
    },
    /// The command runs, or the container is attached to. Comes with a descriptor for each stream, in the order stdin
    /// (its end is the end of the input; writing blocks while nobody reads), stdout, stderr. Of a terminal they may be
    /// the terminal itself, of which EIO is the end. All are non-blocking.
    Started {
        /// Those that come with it.
        streams: CommandStreams,
    },
    /// The command or the container has ended. What it wrote may still be in the streams: it is read to their end, or
    /// to where nothing comes if somebody holds them open.
    Exited {
        /// 128 + n for signal n.
        code: u32,
    },
    /// It could not be started: the end of the session.
    Failed {
        /// Why, for the client.
        text: String,
    },
    /// An attached client has not read what was said for so long that it has lost some: the end of the session.
    Lagged,
    /// Comes with a TCP connection to a port of the pod.
    Dialled {
        /// As the server asked in [`crate::ToShim::Dial`].
        id: u32,
    },
    /// There is no such connection.
    NotDialled {
        /// As the server asked in [`crate::ToShim::Dial`].
        id: u32,
        /// Why, for the client.
        text: String,
    },
}

impl SessionMessage for ToSession {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { token } => FieldWriter::new(1).token(token).done(),
            Self::Started { streams } => FieldWriter::new(2).u8(streams.bits()).done(),
            Self::Exited { code } => FieldWriter::new(3).u32(*code).done(),
            Self::Failed { text } => FieldWriter::new(4).text(text).done(),
            Self::Lagged => FieldWriter::new(5).done(),
            Self::Dialled { id } => FieldWriter::new(6).u32(*id).done(),
            Self::NotDialled { id, text } => FieldWriter::new(7).u32(*id).text(text).done(),
        }
    }

    fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        FieldReader::all(datagram, |kind, fields| match kind {
            1 => Ok(Self::Hello { token: fields.token()? }),
            2 => Ok(Self::Started { streams: CommandStreams::from_bits(fields.u8()?)? }),
            3 => Ok(Self::Exited { code: fields.u32()? }),
            4 => Ok(Self::Failed { text: fields.text()? }),
            5 => Ok(Self::Lagged),
            6 => Ok(Self::Dialled { id: fields.u32()? }),
            7 => Ok(Self::NotDialled { id: fields.u32()?, text: fields.text()? }),
            other => Err(DecodeError::Kind(other)),
        })
    }

    fn descriptors(&self) -> usize {
        match self {
            Self::Started { streams } => streams.count(),
            Self::Dialled { .. } => 1,
            Self::Hello { .. } | Self::Exited { .. } | Self::Failed { .. } | Self::Lagged | Self::NotDialled { .. } => {
                0
            }
        }
    }
}
