//! What all messages have in common.

/// A message of one direction.
pub trait SessionMessage: Sized {
    /// The datagram, of at most [`crate::MESSAGE_BYTES`]: texts and lists beyond their bounds are cut.
    fn encode(&self) -> Vec<u8>;

    /// Reads a datagram, all of it.
    ///
    /// # Errors
    /// A kind that does not exist, fields that are cut or have no such value, bytes behind the last field.
    fn decode(datagram: &[u8]) -> Result<Self, DecodeError>;

    /// How many descriptors it hands over.
    fn descriptors(&self) -> usize;
}

/// Why a datagram is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first byte says so.
    #[error("a message of the unknown kind {0}")]
    Kind(u8),
    /// It ends within a field.
    #[error("a message that is cut")]
    Short,
    /// Bytes are left behind the last field.
    #[error("a message with {0} bytes too many")]
    Trailing(usize),
    /// A field has no such value.
    #[error("a message with an impossible {0}")]
    Value(&'static str),
    /// It came with fewer or more than it says.
    #[error("a message with {got} descriptors where {expected} belong to it")]
    Descriptors {
        /// That it came with.
        got: usize,
        /// That it hands over.
        expected: usize,
    },
    /// It is longer than any message, or came with more descriptors than any.
    #[error("a message beyond the bounds")]
    TooLarge,
}
