//! The commands and their arguments.

mod copies;
mod outside;
mod pods;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use crate::image_cli::{CheckArgs, ExportArgs, ImportArgs, PinArgs};

pub use copies::{CopyPlace, CpArgs};
pub use outside::{CompletionsArgs, GenerateArgs, Generated, ManArgs, SystemdArgs};
pub use pods::{ApplyArgs, DownArgs, LogsArgs, RmArgs, Since, StopArgs, TopArgs};

/// Where peapod listens by default.
const DEFAULT_ENDPOINT: &str = "unix:///run/peapod/peapod.sock";

/// Where logs and volumes of running pods are kept by default.
const DEFAULT_RUN_DIR: &str = "/var/lib/peapod-run";
/// The variable that says otherwise.
const RUN_DIR_VARIABLE: &str = "PEAPOD_RUN_DIR";

/// Where they are kept unless a command says otherwise.
pub(crate) fn run_dir() -> PathBuf {
    let said = std::env::var_os(RUN_DIR_VARIABLE).filter(|dir| !dir.is_empty());
    let dir = PathBuf::from(said.unwrap_or_else(|| DEFAULT_RUN_DIR.into()));
    std::path::absolute(&dir).unwrap_or(dir)
}

/// A folder by its absolute path: the runtime, and other commands, are elsewhere.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// Where a CRI runtime is found; the same for every command.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectArgs {
    /// The CRI socket to talk to: peapod's, or that of any other runtime.
    ///
    /// Default: $PEAPOD_ENDPOINT, else unix:///run/peapod/peapod.sock.
    #[arg(short = 'e', long, global = true, value_name = "URL")]
    pub endpoint: Option<String>,
}

impl ConnectArgs {
    /// What was given, else what the environment says, else where peapod listens by default.
    pub(crate) fn url(&self) -> String {
        self.said().unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned())
    }

    /// What was given, else what the environment says.
    pub(crate) fn said(&self) -> Option<String> {
        let in_environment = || std::env::var("PEAPOD_ENDPOINT").ok().filter(|url| !url.is_empty());
        self.endpoint.clone().or_else(in_environment)
    }
}

/// What `peapod` does as a client.
#[derive(Clone, Debug, Subcommand)]
pub enum ClientCommand {
    /// Runs Pod manifests in the foreground until they end, or Ctrl-C.
    Run(RunArgs),
    /// Makes what runs as the manifests say: what has changed is replaced, the rest is left.
    Apply(ApplyArgs),
    /// Lists pods and their containers.
    Ps(PsArgs),
    /// Prints what a pod's containers wrote.
    Logs(LogsArgs),
    /// Runs a command in a container.
    Exec(ExecArgs),
    /// Joins in with what runs in a container: its output from now on, and its input.
    Attach(AttachArgs),
    /// Forwards ports of this node to ports of a pod.
    PortForward(PortForwardArgs),
    /// Copies files out of a container, or into it.
    Cp(CpArgs),
    /// Shows what pods use: processors, memory, processes, network.
    Top(TopArgs),
    /// Stops pods gracefully.
    Stop(StopArgs),
    /// Removes stopped pods with their containers.
    Rm(RmArgs),
    /// Stops pods gracefully and removes them.
    Down(DownArgs),
    /// Lists images.
    Images(ImagesArgs),
    /// Pulls an image.
    Pull(PullArgs),
    /// Removes images, or one of several names.
    Rmi(RmiArgs),
    /// Imports images from an archive or a folder.
    Import(ImportArgs),
    /// Writes images into an archive.
    Export(ExportArgs),
    /// Has garbage collection leave images alone.
    Pin(PinArgs),
    /// Gives images back to garbage collection.
    Unpin(PinArgs),
    /// Says what works on this node and what does not, and the way out.
    Check(CheckArgs),
    /// Shows what starts and pulls wait for, and where the time of the last ones went.
    Why(WhyArgs),
    /// Writes files for other programs, such as units for systemd.
    Generate(GenerateArgs),
    /// Prints a shell's completions of peapod's commands.
    Completions(CompletionsArgs),
    /// Writes peapod's manual pages into a directory.
    Man(ManArgs),
}

/// Arguments of `peapod run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit status: 0 if every container ended with 0, else the code of the first that failed; \
124 if its activeDeadlineSeconds were over; 130 after Ctrl-C and 143 after SIGTERM; 125 if peapod itself could not run a \
pod. With -d: 0 once all pods are ready or have ended with 0.")]
pub struct RunArgs {
    /// Manifests, YAML or JSON: Pods, Jobs and Deployments, and the ConfigMaps, Secrets and PersistentVolumeClaims that
    /// they name.
    ///
    /// Of a folder its *.yaml, *.yml and *.json are read; `-` is standard input.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Says what each field of the manifests does, and runs nothing.
    #[arg(long)]
    pub explain: bool,
    /// Comes back when all pods are ready; they go on, looked after by a process of its own. `peapod logs -f` shows
    /// what they write, `peapod down` ends them.
    #[arg(short, long)]
    pub detach: bool,
    /// Reads the files again when they are saved, and replaces what has changed.
    #[arg(long)]
    pub watch: bool,
    /// Runtime handler for the pod, one of those that the runtime was configured with.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub runtime_handler: String,
    /// Parent of the pod's cgroup. Default: the runtime's own choice.
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true)]
    pub cgroup_parent: String,
    /// Leaves the stopped pod, its logs and its emptyDir volumes, for `peapod rm` to remove.
    #[arg(long)]
    pub keep: bool,
    /// Where logs and emptyDir volumes of running pods are kept.
    #[arg(long, env = RUN_DIR_VARIABLE, value_name = "DIR", default_value = DEFAULT_RUN_DIR, value_parser = absolute())]
    pub dir: PathBuf,
}

/// Arguments of `peapod ps`.
#[derive(Args, Clone, Debug)]
pub struct PsArgs {
    /// Stopped pods and exited containers as well.
    #[arg(short, long)]
    pub all: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `peapod exec`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit status: the command's, which is 128+N if signal N killed it; 128+N if signal N ended \
peapod, which ends the command; 126 if its program can't be run, 127 if there is none; 125 if there was no session, \
--timeout ended it, or the output could not be written; 255 if it broke off.")]
pub struct ExecArgs {
    /// A pod: its name, `namespace/name`, or the start of its id. Or the start of a container's id.
    pub pod: String,
    /// The container. Default: the only one, or the first that was started.
    #[arg(short, long)]
    pub container: Option<String>,
    /// Passes standard input on to the command.
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// Gives the command a terminal; with -i it is this one, and left out if standard input is none.
    #[arg(short, long)]
    pub tty: bool,
    /// Ends the session after so many seconds, and with it the command, unless the runtime is set to leave commands
    /// whose client has gone. Default: never.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    pub timeout: u32,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// Arguments of `peapod attach`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Exit status: 0 once the container has ended, however it did; 128+N if signal N ended peapod, \
which does not end the container; 125 if there was no session, 255 if it broke off.")]
pub struct AttachArgs {
    /// A pod: its name, `namespace/name`, or the start of its id. Or the start of a container's id.
    pub pod: String,
    /// The container. Default: the only one, or the first that was started.
    #[arg(short, long)]
    pub container: Option<String>,
    /// Passes standard input on to the container, if it was made with one.
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// For a container that was made with a terminal; with -i it is this one.
    #[arg(short, long)]
    pub tty: bool,
}

/// Arguments of `peapod port-forward`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "It listens on 127.0.0.1 until Ctrl-C or SIGTERM, or until a connection finds that the pod is gone."
)]
pub struct PortForwardArgs {
    /// A pod: its name, `namespace/name`, or the start of its id.
    pub pod: String,
    /// Ports of the pod, each with the one of this node that leads to it: the same if it is left out, a free one before
    /// `:`.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    pub ports: Vec<ForwardedPort>,
}

/// A port of this node, and the port of a pod to which it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedPort {
    /// 0: any that is free.
    pub local: u16,
    /// Not 0.
    pub remote: u16,
}

impl FromStr for ForwardedPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write [LOCAL:]REMOTE, ports from 1 to 65535; `:REMOTE` takes a free one".to_owned();
        let (local, remote) = text.split_once(':').unwrap_or((text, text));
        let remote = remote.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let local = if local.is_empty() { 0 } else { local.parse().map_err(|_| wrong())? };
        Ok(Self { local, remote })
    }
}

/// Arguments of `peapod images`.
#[derive(Args, Clone, Debug)]
pub struct ImagesArgs {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `peapod pull`.
#[derive(Args, Clone, Debug)]
pub struct PullArgs {
    /// The image: a name with a tag or digest.
    pub image: String,
    /// The registry's user; the password is read from the first line of standard input.
    #[arg(short, long)]
    pub username: Option<String>,
}

/// Arguments of `peapod rmi`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Prints each name that is gone. An image that has other names stays under these, but for runtimes \
other than peapod, which remove it with all of them."
)]
pub struct RmiArgs {
    /// Names; or ids, starts of ids and digests, for the image with all its names.
    #[arg(required = true)]
    pub images: Vec<String>,
}

/// Arguments of `peapod why`.
#[derive(Args, Clone, Debug)]
pub struct WhyArgs {
    /// A pod, a container or an image: a name, `namespace/name`, or the start of an id. Pods that are being made, and
    /// what failed and is gone, are found too.
    #[arg(value_name = "POD|CONTAINER|IMAGE")]
    pub what: String,
    /// As JSON, as the runtime tells it.
    #[arg(long)]
    pub json: bool,
}

/// Form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use super::ForwardedPort;

    #[test]
    fn ports() {
        for (text, local, remote) in [("80", 80, 80), ("8080:80", 8080, 80), (":80", 0, 80), ("0:80", 0, 80)] {
            assert_eq!(text.parse(), Ok(ForwardedPort { local, remote }), "{text}");
        }
        for text in ["", ":", "0", "80:", "80:0", "x:80", "1:2:3", "65536", "-1", "127.0.0.1:80:80"] {
            assert!(text.parse::<ForwardedPort>().is_err(), "{text}");
        }
    }
}
