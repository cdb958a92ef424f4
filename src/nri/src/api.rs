//! Messages of `proto/nri.proto`, generated.

#[allow(warnings, clippy::all, clippy::pedantic, missing_docs)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/nri.rs"));
}

pub use generated::*;
