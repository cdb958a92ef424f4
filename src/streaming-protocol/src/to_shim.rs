//! What the streaming server says to a shim, on the connection of one session.

use crate::message::{DecodeError, SessionMessage};
use crate::wire::{FieldReader, FieldWriter};

/// From the streaming server to a shim. That the input has ended is told by closing its descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToShim {
    /// The client's terminal has this size now. May come before there is a terminal: the last counts.
    Resize {
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
    /// A TCP connection is wanted.
    Dial {
        /// What the answer is to name: [`crate::ToSession::Dialled`] or [`crate::ToSession::NotDialled`].
        id: u32,
        /// Of the pod's localhost.
        port: u16,
    },
}

impl SessionMessage for ToShim {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Resize { width, height } => FieldWriter::new(1).u16(*width).u16(*height).done(),
            Self::Dial { id, port } => FieldWriter::new(2).u32(*id).u16(*port).done(),
        }
    }

    fn decode(datagram: &[u8]) -> Result<Self, DecodeError> {
        FieldReader::all(datagram, |kind, fields| match kind {
            1 => Ok(Self::Resize { width: fields.u16()?, height: fields.u16()? }),
            2 => Ok(Self::Dial { id: fields.u32()?, port: fields.u16()? }),
            other => Err(DecodeError::Kind(other)),
        })
    }

    /// It is what strangers speak to: nothing of its is taken.
    fn descriptors(&self) -> usize {
        0
    }
}
