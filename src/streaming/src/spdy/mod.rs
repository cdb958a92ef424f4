//! SPDY/3.1, as far as Kubernetes' clients speak it: streams that the client opens, with headers each, half-closed by
//! either end. There is no flow control: SETTINGS and WINDOW_UPDATE mean nothing here, and a slow stream holds up the
//! others of its connection. [`SpdyConnection`] is the way in.

mod connection;
mod dictionary;
mod error;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub use connection::{SpdyConnection, SpdyEvent};
pub use dictionary::dictionary;
pub use error::SpdyError;
pub use frame::StreamId;
pub use headers::Headers;
