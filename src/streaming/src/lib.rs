//! The protocols that clients of exec, attach and port-forward speak, as pure state: bytes come in, what they mean goes
//! out. Nothing here reads, writes, waits or knows what a container is.
//!
//! - [`negotiate`]: which version of a protocol both ends know.
//! - [`spdy`]: streams over one connection, for `SPDY/3.1`.
//! - [`channels`]: the same over WebSocket messages, for `v5.channel.k8s.io` and the older ones.
//! - [`status`]: how a command's end is told, [`resize`]: how a terminal's size is.

mod bounds;
pub mod channels;
#[cfg(test)]
mod fuzz;
pub mod negotiate;
pub mod resize;
pub mod spdy;
pub mod status;
pub mod version;

pub use bounds::{CONTROL_FRAME_BYTES, HEADER_BLOCK_BYTES, RESIZE_BYTES, STREAMS};
