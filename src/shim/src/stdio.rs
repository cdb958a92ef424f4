//! What a process reads from and writes to.

mod budget;
pub(crate) mod console;
pub(crate) mod copy;
pub(crate) mod cri_log;
pub(crate) mod exec_streams;
pub(crate) mod fifo;
pub(crate) mod handed;
pub(crate) mod lines;
mod null;
pub(crate) mod output;
mod patience;
pub(crate) mod plan;

pub(crate) use null::Null;
pub(crate) use output::ContainerOutput;
pub(crate) use plan::Uris;
