//! The command line of `peapod serve`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Serves the Container Runtime Interface on a unix socket.
///
/// What is given here wins over the configuration file, which wins over the built-in defaults.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeArgs {
    /// Configuration file; the files of `config.d` beside it are read after it, in order of their names.
    ///
    /// Default: /etc/peapod/config.toml if it exists, else the built-in defaults.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What survives a reboot: records, images, layers.
    #[arg(long, value_name = "DIR")]
    pub state_root: Option<PathBuf>,
    /// What does not: sockets, mounts, files of running pods.
    #[arg(long, value_name = "DIR")]
    pub run_root: Option<PathBuf>,
    /// Where clients connect. Default: peapod.sock in the run root.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What is logged: off, error, warn, info, debug, trace, or directives such as `info,peapod_network=debug`.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Form of the lines on standard error.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Logs to this file in place of standard error. At 16 MiB it is set aside as FILE.1.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Any other key of the configuration, for example `--set network.mtu=1400`. May be repeated.
    ///
    /// The value is read as TOML; what is not valid TOML is taken as text.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Prints the commented default configuration and ends.
    #[arg(long)]
    pub print_default_config: bool,
    /// Reads the configuration, says what is wrong with it, and ends.
    #[arg(long)]
    pub check_config: bool,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}
