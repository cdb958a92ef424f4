//! What ends a WebSocket.

/// Why a WebSocket can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// A client hides each frame behind a mask (section 5.1).
    #[error("a frame without a mask")]
    Unmasked,
    /// No extension was negotiated that could use them.
    #[error("a frame with reserved bits")]
    Reserved,
    /// A frame of this unknown kind.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// A ping, pong or close that is cut into frames, or longer than 125 bytes.
    #[error("a control frame that is cut or too long")]
    Control,
    /// A message within another one, or the rest of none.
    #[error("a frame that continues no message, or begins one within another")]
    Order,
    /// Longer than 2^63 bytes.
    #[error("a frame of an impossible length")]
    Length,
}
