//! The daemon's configuration: read from files and the command line as it was written, then checked as a whole. Nothing
//! that gets a [`Config`] can fail on configuration any more.

mod find;
#[cfg(test)]
mod fuzz;
mod level;
mod load;
mod metrics;
mod nri;
mod problem;
mod ready;
mod runtimes;
mod section;
mod sections;
mod streaming;
#[cfg(test)]
mod tests;
mod tracing;
mod tree;

pub(crate) use load::{DEFAULT_TEXT, FileStamps, load, stamps};
pub(crate) use metrics::{MetricsAddress, MetricsSettings};
pub(crate) use nri::NriSettings;
pub(crate) use problem::InvalidConfig;
pub(crate) use ready::{Config, GrpcSettings, LogSettings, TimeoutSettings};
pub(crate) use streaming::{OnDisconnect, StreamingSettings, TlsFiles};
pub(crate) use tracing::TracingSettings;
