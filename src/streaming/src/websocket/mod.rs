//! WebSocket (RFC 6455), a server's end, pure: of a message what is here is passed on, so that one of any length takes
//! no memory; whole messages are all that crates for it hand out. Nothing is negotiated but the protocol: no extension,
//! so nothing is compressed.

mod connection;
mod error;
mod frame;
mod handshake;
#[cfg(test)]
mod tests;

pub use connection::{SocketEvent, WebSocket};
pub use error::SocketError;
pub use frame::{MessageHead, MessageKind};
pub use handshake::accept_key;
