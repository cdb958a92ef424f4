//! The configuration after every check: paths are absolute, names resolved, choices made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::find;
use super::level;
use super::metrics::MetricsSettings;
use super::nri::NriSettings;
use super::problem::Problems;
use super::runtimes;
use super::section::{SOCKET_PATH_LIMIT, Section, socket_path};
use super::sections;
use super::streaming::StreamingSettings;
use super::tracing::TracingSettings;
use super::tree::Tree;
use crate::args::LogFormat;
use crate::bounds::{self, CONNECTIONS, IDLE, TRANSFER};

/// Everything that the daemon is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) state_root: PathBuf,
    pub(crate) run_root: PathBuf,
    pub(crate) grpc: GrpcSettings,
    pub(crate) log: LogSettings,
    pub(crate) metrics: MetricsSettings,
    pub(crate) tracing: TracingSettings,
    pub(crate) timeouts: TimeoutSettings,
    pub(crate) streaming: StreamingSettings,
    pub(crate) pods: peapod_pod::Config,
    pub(crate) images: peapod_image::Config,
    pub(crate) network: peapod_network::Config,
    pub(crate) nri: NriSettings,
}

/// `[grpc]`: the socket, and the bounds of connections and messages.
#[derive(Clone, Debug)]
pub(crate) struct GrpcSettings {
    pub(crate) socket: PathBuf,
    pub(crate) mode: u32,
    pub(crate) max_message_bytes: usize,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) transfer_timeout: Duration,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// `[timeouts]`.
#[derive(Clone, Debug)]
pub(crate) struct TimeoutSettings {
    pub(crate) pods: peapod_pod::Timeouts,
    pub(crate) shutdown: Duration,
}

impl Config {
    /// Checks all keys, and adds to the problems whatever is wrong.
    pub(super) fn read(tree: Tree, problems: &Problems) -> Self {
        let mut root = Section::root(tree, problems);
        let state_root = root.path("state_root", "/var/lib/peapod");
        let run_root = root.path("run_root", "/run/peapod");
        check_run_root(&root, &run_root);
        let boot_id_file = root.path("boot_id_file", "/proc/sys/kernel/random/boot_id");
        let grpc = GrpcSettings::read(root.section("grpc"), &run_root);
        let log = LogSettings::read(root.section("log"));
        let metrics = MetricsSettings::read(root.section("metrics"), &grpc.socket);
        let tracing = TracingSettings::read(root.section("tracing"));
        let timeouts = TimeoutSettings::read(root.section("timeouts"));
        let streaming = StreamingSettings::read(root.section("streaming"));
        let shim = read_shim(root.section("shim"));
        let cgroup = sections::CgroupSection::read(root.section("cgroup"));
        let (default_runtime, runtimes) = runtimes::read(root.section("runtimes"), (&run_root, &cgroup.root));
        let images = sections::images(root.section("image"), &state_root);
        let network = sections::network(root.section("network"));
        let nri = NriSettings::read(root.section("nri"), &run_root);
        let cdi_dirs = sections::cdi(root.section("cdi"));
        let (ulimits, selinux) = sections::containers(root.section("containers"));
        let containers = peapod_pod::ContainerSettings {
            log_rate: read_container_log(root.section("container_log")),
            restores: sections::checkpoint(root.section("checkpoint")),
            ulimits,
            selinux,
        };
        root.finish();
        let pods = peapod_pod::Config {
            state_root: state_root.clone(),
            run_root: run_root.clone(),
            shim,
            runtimes,
            default_runtime,
            cgroup_root: cgroup.root,
            cgroup_driver: cgroup.driver,
            cgroup_parent: cgroup.parent,
            scope_prefix: cgroup.scope_prefix,
            shim_cgroup: cgroup.shims,
            boot_id_file,
            containers,
            cdi_dirs,
            // The rest is for what surrounds the entries.
            listed_bytes: u64::try_from(grpc.max_message_bytes - grpc.max_message_bytes / 16).unwrap_or(u64::MAX),
            timeouts: timeouts.pods,
        };
        Self { state_root, run_root, grpc, log, metrics, tracing, timeouts, streaming, pods, images, network, nri }
    }
}

/// Bytes per second.
fn read_container_log(mut section: Section<'_>) -> u64 {
    let rate = section.number("rate", bounds::CONTAINER_LOG_RATE, 0..=1 << 40);
    section.finish();
    u64::try_from(rate).unwrap_or_default()
}

/// Sockets of shims are `<run root>/s/<16 digits>`: they have to fit.
fn check_run_root(root: &Section<'_>, run_root: &Path) {
    let room = SOCKET_PATH_LIMIT - "/s/0123456789abcdef".len();
    let length = run_root.as_os_str().len();
    if length > room {
        root.problem(
            "run_root",
            format!("has {length} bytes; more than {room} leave no room for the sockets below it"),
        );
    }
}

impl GrpcSettings {
    fn read(mut section: Section<'_>, run_root: &Path) -> Self {
        let socket = section.path("socket", run_root.join("peapod.sock"));
        if let Err(reason) = socket_path(socket.clone()) {
            section.problem("socket", reason);
        }
        let mode = section.text("mode", 0o660, |text| {
            u32::from_str_radix(text, 8)
                .ok()
                .filter(|mode| *mode <= 0o777)
                .ok_or_else(|| "is not a file mode in octal digits, for example \"0660\"".to_owned())
        });
        let max_message_bytes = section.number("max_message_bytes", 16 << 20, 1 << 20..=256 << 20);
        let connections = i64::try_from(CONNECTIONS).unwrap_or(i64::MAX);
        let max_connections = section.number("max_connections", connections, 16..=1 << 20);
        let idle_timeout = section.duration("idle_timeout", IDLE);
        let transfer_timeout = section.duration("transfer_timeout", TRANSFER);
        section.finish();
        Self {
            socket,
            mode,
            max_message_bytes: usize::try_from(max_message_bytes).unwrap_or(16 << 20),
            max_connections: usize::try_from(max_connections).unwrap_or(CONNECTIONS),
            idle_timeout,
            transfer_timeout,
        }
    }
}

impl LogSettings {
    fn read(mut section: Section<'_>) -> Self {
        let level = section.text("level", "info".to_owned(), level::directives);
        let format = section.text("format", LogFormat::Text, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("should be text or json".into()),
        });
        section.finish();
        Self { level, format }
    }
}

impl TimeoutSettings {
    fn read(mut section: Section<'_>) -> Self {
        let timeouts = Self {
            pods: peapod_pod::Timeouts {
                operation: section.duration("operation", Duration::from_secs(110)),
                exec_drain: section.duration("exec_drain", Duration::from_secs(2)),
            },
            shutdown: section.duration("shutdown", Duration::from_secs(1)),
        };
        section.finish();
        timeouts
    }
}

/// The shim's binary: as configured, else where it is usually installed.
fn read_shim(mut section: Section<'_>) -> PathBuf {
    let configured = section.text("path", None, |text| find::executable(text).map(Some));
    let shim = configured.or_else(find::shim).unwrap_or_else(|| {
        let reason = format!(
            "{} is not beside this binary, in ../libexec/peapod from there, in /usr/libexec/peapod or in PATH: set its path",
            find::SHIM
        );
        section.problem("path", reason);
        PathBuf::from(find::SHIM)
    });
    section.finish();
    shim
}
