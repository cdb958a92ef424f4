//! Arguments of the commands about images without a registry, and of `peapod check`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Arguments of `peapod import`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Prints a line for each image: its id and its names. Nothing is imported if anything in the \
archive is wrong. What is here already is not unpacked again.")]
pub struct ImportArgs {
    /// An archive: an OCI layout or what `docker save` writes, plain, gzip or zstd. Or the folder of an OCI layout; `-`
    /// reads standard input.
    #[arg(value_name = "FILE|DIR|-")]
    pub source: PathBuf,
    /// The name of the one image in it, in place of those that the archive says.
    #[arg(long)]
    pub name: Option<String>,
    /// Takes the images for another platform than the node's, for example linux/arm64.
    #[arg(long)]
    pub platform: Option<String>,
    /// Pins what is imported: a kubelet's garbage collection leaves it alone.
    #[arg(long)]
    pub pin: bool,
}

/// Arguments of `peapod export`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The archive is an OCI layout and one of `docker save` at once. peapod keeps layers as files, not \
as a registry sent them: what is exported has the same files and configuration, and digests of its own."
)]
pub struct ExportArgs {
    /// Images: name, digest, or the start of the id. They have these names in the archive.
    #[arg(required = true)]
    pub images: Vec<String>,
    /// The file to be written; `-` is standard output.
    #[arg(short, long, value_name = "FILE|-")]
    pub output: PathBuf,
}

/// Arguments of `peapod pin` and `peapod unpin`.
#[derive(Args, Clone, Debug)]
pub struct PinArgs {
    /// Images: name, digest, or the start of the id.
    #[arg(required = true)]
    pub images: Vec<String>,
}

/// Arguments of `peapod check`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a word all of it is looked at, but for images. Nothing is changed, and most needs no \
runtime. Exit status: 1 if something does not work.")]
pub struct CheckArgs {
    /// One thing alone.
    #[command(subcommand)]
    pub subject: Option<CheckSubject>,
    /// Reads another runtime's configuration, and tells of each key what becomes of it on peapod.
    #[arg(long, value_enum, value_name = "RUNTIME")]
    pub from: Option<OtherRuntime>,
    /// With --from: the file, in place of /etc/containerd/config.toml or of those in /etc/crio.
    #[arg(requires = "from")]
    pub file: Option<PathBuf>,
}

/// What `peapod check` looks at.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckSubject {
    /// Which hosts a pull would ask, as whom, for which platform, and what they answer. Nothing is pulled.
    Image(CheckImageArgs),
    /// Kernel, control groups, OCI runtimes, namespaces, confinement.
    Node,
    /// The network that pods get, and what it needs of the node.
    Network,
    /// Images, layers, what holds them, and what is half done.
    Store,
    /// Handlers that pods can have by RuntimeClass, where each comes from, and programs that are none.
    Handlers,
    /// Devices that containers can have by CDI name, and files of such that can't be used.
    Devices,
}

/// Arguments of `peapod check image`.
#[derive(Args, Clone, Debug)]
pub struct CheckImageArgs {
    /// The image: a name with a tag or digest.
    pub image: String,
    /// The registry's user; the password is read from the first line of standard input.
    #[arg(short, long)]
    pub username: Option<String>,
}

/// A runtime whose configuration `peapod check` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtherRuntime {
    /// Versions 2 and 3 of its file.
    Containerd,
    /// Its file and those of its folder.
    Crio,
}
