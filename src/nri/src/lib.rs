//! The runtime's side of the Node Resource Interface: plugins see pods and containers, and say what these shall be
//! like.
//!
//! Plugins connect to a socket ([`serve`]), or are started with a connection ([`InstalledPlugins`]), register, are told
//! what there is already, and from then on what happens ([`Plugins`]). What they say is put together ([`Adjusted`],
//! [`PluginWishes`]); carried out it is elsewhere.
//!
//! A plugin that does not do as it should (is slow, talks nonsense, says too much) is closed, and named in the log.
//! What it was asked about goes on without it, unless it is [required](Rules).
//!
//! Messages are those of `proto/nri.proto` ([`api`]).

pub mod api;
pub mod bounds;

mod adjust;
mod audience;
mod call;
mod create;
mod faults;
mod installed;
mod link;
mod measures;
mod mux;
mod name;
mod plugin;
mod plugins;
mod roster;
mod serve;
mod session;
mod stages;
mod starting;
mod state;
mod validate;

#[cfg(test)]
mod fuzz;
#[cfg(any(test, feature = "stand-in"))]
pub mod stand_in;
#[cfg(test)]
mod tests;

pub use adjust::removed;
pub use audience::Audience;
pub use create::Adjusted;
pub use measures::{NriMeasures, RefusalReason};
pub use name::{PluginName, PluginNameError};
pub use plugin::PluginKind;
pub use plugins::{Begun, InstalledPlugins, PluginSummary, Plugins};
pub use serve::serve;
pub use stages::STAGES;
pub use state::{InstalledSettings, PluginRefusal, PluginSettings, PluginWishes, RuntimeRequest};
pub use validate::{REQUIRED_ANNOTATION, Rejected, Rules};
