//! How calling plugins fails.

use super::directory::UnusableError;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// A CNI plugin, or its configuration, does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// The configuration that would be used is wrong.
    #[error(transparent)]
    Configuration(#[from] UnusableError),
    /// A program is missing.
    #[error("CNI plugin '{plugin}' is in none of {}: install it, or set network.cni_bin_dirs", list(.searched))]
    Missing {
        /// Its name.
        plugin: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// A program can't be run, or talked to.
    #[error("CNI plugin {plugin} {command}: {source}")]
    Run {
        /// Its name.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It did not come to an end, and was killed.
    #[error("CNI plugin {plugin} {command} was killed after {} s without an end", limit.as_secs_f32())]
    Slow {
        /// Its name.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It says no.
    #[error("CNI plugin {plugin} {command} of network {network}: {message} (code {code})")]
    Refused {
        /// Its name.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// The network's name.
        network: String,
        /// As the specification or the plugin numbers errors.
        code: u64,
        /// Its message.
        message: String,
    },
    /// It ended with an error without saying which.
    #[error("CNI plugin {plugin} {command} ended with {status}: {stderr}")]
    Failed {
        /// Its name.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        stderr: String,
    },
    /// What it answers is no result.
    #[error("CNI plugin {plugin} {command} answers no result: {what}")]
    Garbage {
        /// Its name.
        plugin: String,
        /// What it was to do.
        command: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// All plugins succeeded, and the pod has no address.
    #[error("CNI network {network} gave no address")]
    NoAddress {
        /// The network's name.
        network: String,
    },
    /// The network is being shut down.
    #[error("the network is shutting down")]
    Closed,
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
