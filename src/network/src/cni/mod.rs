//! Pods' networks that plugins make, as the Container Network Interface defines them.
//!
//! Plugins are programs of others: each runs with a deadline, and one that hangs holds up nobody but its own pod.

mod caller;
mod conflist;
mod directory;
mod error;
mod exec;
#[cfg(test)]
mod fuzz;
mod health;
mod life;
mod orphans;
mod record;
mod request;
mod result;
mod watch;

pub(crate) use directory::Choice;
pub(crate) use life::Cni;

pub use conflist::ConfigurationError;
pub use directory::UnusableError;
pub use error::CniError;

use std::path::PathBuf;
use std::time::Duration;

/// The settings as they are written.
#[derive(Clone, Debug)]
pub struct CniConfig {
    /// Where configurations are. The first one by name is used for new pods; without any the built-in network is.
    pub conf_dir: PathBuf,
    /// Where plugins are.
    pub bin_dirs: Vec<PathBuf>,
    /// How long a plugin may take to connect or disconnect a pod.
    pub timeout: Duration,
    /// For how long a pod that can't be disconnected is kept and tried again; then it is let go with a warning, because
    /// a plugin that is gone for good, for one, would keep the pod for ever.
    pub give_up_after: Duration,
}

impl Default for CniConfig {
    fn default() -> Self {
        Self {
            conf_dir: "/etc/cni/net.d".into(),
            bin_dirs: vec!["/opt/cni/bin".into()],
            timeout: Duration::from_secs(90),
            give_up_after: Duration::from_secs(300),
        }
    }
}
