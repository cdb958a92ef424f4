//! Arguments of commands that write for other programs, and need no runtime.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clap_complete::Shell;

/// Arguments of `peapod completions`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "`make install` puts those of bash, zsh and fish where these shells look. By hand, for example: \
peapod completions bash >/etc/bash_completion.d/peapod"
)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `peapod man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The directory, which is made if it is not there.
    pub dir: PathBuf,
}

/// Arguments of `peapod generate`.
#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// What to write.
    #[command(subcommand)]
    pub what: Generated,
}

/// What `peapod generate` writes.
#[derive(Clone, Debug, Subcommand)]
pub enum Generated {
    /// A unit that runs a manifest after peapod.service, and again after a reboot.
    Systemd(SystemdArgs),
}

/// Arguments of `peapod generate systemd`.
#[derive(Args, Clone, Debug)]
pub struct SystemdArgs {
    /// Manifests; there is a unit for each.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Writes the units into this directory, such as /etc/systemd/system, and prints their names.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Where logs and emptyDir volumes of running pods are kept.
    #[arg(long, env = "PEAPOD_RUN_DIR", value_name = "DIR", default_value = "/var/lib/peapod-run")]
    pub dir: PathBuf,
}
