//! What a client's bytes may cost; ARCHITECTURE.md lists it.

/// Bytes of a control frame: a block of headers is tens of bytes.
pub const CONTROL_FRAME_BYTES: usize = 16 << 10;

/// Bytes of a block of headers, decompressed.
pub const HEADER_BLOCK_BYTES: usize = 16 << 10;

/// Streams of a connection that are open at the same time. A port-forward has two for each TCP connection.
pub const STREAMS: usize = 2048;

/// Bytes of a resize message, of which a terminal's size needs fewer than 40.
pub const RESIZE_BYTES: usize = 1 << 10;
