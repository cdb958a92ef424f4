//! What ends a connection.

/// Why a connection can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another version, or no SPDY at all.
    #[error("a frame of version {0}, where SPDY/3.1 has 3")]
    Version(u16),
    /// A control frame of so many bytes.
    #[error("a control frame of {0} bytes, with at most {max} allowed", max = crate::CONTROL_FRAME_BYTES)]
    FrameTooLong(usize),
    /// A control frame of this type that ends before its fields do.
    #[error("a control frame of type {0} that ends too early")]
    FrameTooShort(u16),
    /// Headers that can't be read. What follows can't be either: all blocks share one history.
    #[error("a block of headers that can't be read")]
    Headers,
    /// Headers that are too many, or too long.
    #[error("a block of headers of more than {max} bytes", max = crate::HEADER_BLOCK_BYTES)]
    HeadersTooLong,
    /// A stream's number that is not the client's to give, or not the next.
    #[error("a new stream {0}, where clients count up in odd numbers")]
    StreamNumber(u32),
}
