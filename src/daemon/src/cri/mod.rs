//! The CRI services and our own beside them: the only place of the daemon that knows their messages. One file per call.

mod blocking;
mod call;
mod convert;
mod encoded_list;
mod fit;
mod image;
mod image_store;
mod operations;
mod pages;
mod runtime;
mod services;
mod status;

pub(crate) use image::ImageCalls;
pub(crate) use image_store::ImageStoreCalls;
pub(crate) use runtime::RuntimeCalls;
pub(crate) use services::{NodeParts, Services};
