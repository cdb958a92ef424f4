//! How the daemon, the streaming server and shims speak about sessions of exec, attach and port-forward.
//!
//! Each message is a datagram of a connected Unix socket (`SOCK_SEQPACKET`), with the descriptors that it hands over:
//! never part of one, never two. Ends are typed by what they send and receive: [`DaemonEnd`] and [`ServerEnd`] of the
//! control socket, [`ShimEnd`] and [`SessionEnd`] of a session.
//!
//! ```text
//! daemon   ToServer ──▶  streaming server  ◀── ToSession   shim
//!          ◀── ToDaemon                     ToShim ──▶
//! ```
//!
//! A session's way: the daemon registers a [`SessionToken`] and gives its URL to a client. The server tells when the
//! client is there ([`ToDaemon::Claimed`]); the daemon makes the shim open the session: it connects to the server's
//! [`PacketListener`], says [`ToSession::Hello`] and hands over the ends of the streams. The end of the connection is
//! the end of the session, for both.

mod bounds;
mod connection;
#[cfg(test)]
mod fuzz;
mod message;
mod to_daemon;
mod to_server;
mod to_session;
mod to_shim;
mod token;
mod wire;

pub use bounds::{FORWARDED_PORTS, MESSAGE_BYTES, MESSAGE_DESCRIPTORS, REASON_BYTES, TLS_FILE_BYTES};
pub use connection::{PacketConnection, PacketListener};
pub use message::{DecodeError, SessionMessage};
pub use to_daemon::ToDaemon;
pub use to_server::{CommandStreams, Registration, SessionKind, ToServer};
pub use to_session::ToSession;
pub use to_shim::ToShim;
pub use token::SessionToken;

/// What the streaming server's process is called, and by which `peapod` knows that it is meant to be it.
pub const SERVER_NAME: &str = "peapod-streaming";

/// The daemon's end of the control socket.
pub type DaemonEnd = PacketConnection<ToServer, ToDaemon>;
/// The streaming server's end of the control socket.
pub type ServerEnd = PacketConnection<ToDaemon, ToServer>;
/// The shim's end of a session.
pub type ShimEnd = PacketConnection<ToSession, ToShim>;
/// The streaming server's end of a session.
pub type SessionEnd = PacketConnection<ToShim, ToSession>;
