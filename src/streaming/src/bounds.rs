//! What a client's bytes may cost; ARCHITECTURE.md lists it.

use std::time::Duration;

/// Bytes of a control frame: a block of headers is tens of bytes.
pub const CONTROL_FRAME_BYTES: usize = 16 << 10;

/// Bytes of a block of headers, decompressed.
pub const HEADER_BLOCK_BYTES: usize = 16 << 10;

/// Streams of a connection that are open at the same time. A port-forward has two for each TCP connection.
pub const STREAMS: usize = 2048;

/// Bytes of a resize message, of which a terminal's size needs fewer than 40.
pub const RESIZE_BYTES: usize = 1 << 10;

/// Sessions that clients were promised and have not come for: as many as Kubernetes' own servers keep.
pub(crate) const TOKENS: usize = 1000;

/// Sessions that are open at the same time.
pub(crate) const SESSIONS: usize = 2048;

/// Connections that have shown no token yet. A kubelet shows it within milliseconds.
pub(crate) const GREETINGS: usize = 256;

/// Time in which a connection has to show its token, the handshake of TLS counted.
pub(crate) const GREETING_TIME: Duration = Duration::from_secs(10);

/// Bytes of a request's head. The kubelet sends some headers of the client's on.
pub(crate) const REQUEST_HEAD_BYTES: usize = 16 << 10;

/// Headers of a request.
pub(crate) const REQUEST_HEADERS: usize = 100;

/// Bytes that are read at once, of a client or of a stream: as many as a pipe holds.
pub(crate) const TRANSFER_BYTES: usize = 64 << 10;

/// The same of a pipe or a connection that had as much: it goes through a pipe of this size to the client's socket,
/// where that takes it as it is. A stream's own pipe holds as much from then on.
pub(crate) const LARGE_TRANSFER_BYTES: usize = 256 << 10;

/// Such streams, in all sessions: the kernel counts the room of all pipes of a user together.
pub(crate) const LARGE_PIPES: usize = 32;

/// Bytes of one connection that wait until their destination takes them, and what keeping them takes. Beyond it the
/// client's connection is not read.
pub(crate) const BACKLOG_BYTES: usize = 256 << 10;

/// Bytes of answers (to pings, to openings of streams) that wait until the client reads, behind what waits of a
/// stream. Beyond it the connection is not read.
pub(crate) const REPLY_BYTES: usize = 64 << 10;

/// From a claim until the session is there: an OCI runtime's call may take 100 s.
pub(crate) const SESSION_WAIT: Duration = Duration::from_secs(120);

/// The same when the daemon is gone: what it asked a shim for before is on its way.
pub(crate) const ORPHAN_WAIT: Duration = Duration::from_secs(10);

/// Time in which who connects as a shim has to say for which session.
pub(crate) const HELLO_TIME: Duration = Duration::from_secs(5);

/// Such connections that have said nothing yet.
pub(crate) const HELLOS: usize = 64;

/// After a command's end, for how long nothing may come of its output before that is taken for its end: processes that
/// it has left behind may hold it open.
pub(crate) const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Time that a client has to read the last that it is sent, and to leave.
pub(crate) const FAREWELL_TIME: Duration = Duration::from_secs(10);

/// How often it is looked whether a client has left that is not read from.
pub(crate) const LEFT_LOOK: Duration = Duration::from_secs(1);

/// How often streams of a port-forward are looked for whose other half never came.
pub(crate) const PAIR_LOOK: Duration = Duration::from_secs(5);

/// Bytes of what a client calls a connection to a port, by which its two streams find each other. It is a number.
pub(crate) const REQUEST_ID_BYTES: usize = 128;

/// Open descriptors of the server. A session of a command has five.
pub(crate) const DESCRIPTORS: u64 = 1 << 18;

/// Pause after a connection could not be accepted.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
