//! The CRI services: the only place of the daemon that knows their messages. One file per call.

mod call;
mod convert;
mod fit;
mod image;
mod node;
mod runtime;
mod status;

pub(crate) use image::ImageCalls;
pub(crate) use node::Node;
pub(crate) use runtime::RuntimeCalls;
