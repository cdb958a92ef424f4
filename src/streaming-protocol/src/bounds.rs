//! What one message may hold and hand over. ARCHITECTURE.md, "Bounds", lists all of them.

/// Bytes of a message: one datagram.
pub const MESSAGE_BYTES: usize = 4 << 10;

/// Descriptors that come with a message: the three streams of a command.
pub const MESSAGE_DESCRIPTORS: usize = 3;

/// Bytes of a text in a message, which a client is told as the reason why it gets no session.
pub const REASON_BYTES: usize = 1 << 10;

/// Ports that a request for a port-forward names. More than half of a message.
pub const FORWARDED_PORTS: usize = 1 << 10;

/// Bytes of the streaming server's chain of certificates, and of its key, each.
pub const TLS_FILE_BYTES: u64 = 1 << 20;
