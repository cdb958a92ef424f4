//! What clients of exec, attach and port-forward speak with.
//!
//! The protocols are pure state: bytes come in, what they mean goes out.
//!
//! - [`negotiate`]: which version of a protocol both ends know.
//! - [`spdy`]: streams over one connection, for `SPDY/3.1`.
//! - [`websocket`]: messages over one connection; [`channels`]: streams over these, for `v5.channel.k8s.io` and the
//!   older ones.
//! - [`status`]: how a command's end is told, [`resize`]: how a terminal's size is.
//!
//! [`server`] is the process that speaks them, and outlives the daemon.

mod bounds;
pub mod channels;
#[cfg(test)]
mod fuzz;
pub mod negotiate;
pub mod resize;
pub mod server;
pub mod spdy;
pub mod status;
pub mod version;
pub mod websocket;

pub use bounds::{CONTROL_FRAME_BYTES, HEADER_BLOCK_BYTES, RESIZE_BYTES, STREAMS};
