//! What the daemon's configuration says about images.

use crate::bounds::{DISK_RESERVE_PERCENT, IMAGE_BYTES, IMAGE_ENTRIES, LAYER_BYTES, LAYER_ENTRIES};
use crate::bounds::{PARTIAL_AGE, PARTIAL_BYTES};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the image store; ready to use, nothing is looked up later.
#[derive(Clone, Debug)]
pub struct Config {
    /// Holds `content`, `ingest` and `layers`; must be on a file system that can be a lower layer of an overlay.
    pub state_root: PathBuf,
    /// This boot of the node. Empty if it is not known: then nothing is said about how the last one ended.
    pub boot_id: String,
    /// Where `<host>/hosts.toml` is looked for, in this order; the first directory that has one for the host wins.
    pub hosts_dirs: Vec<PathBuf>,
    /// The registry of names that say none, such as `busybox`.
    pub default_registry: String,
    /// How many blobs of one registry, and of one pull, are transferred at once.
    pub max_downloads: usize,
    /// How many layers are decompressed and unpacked at once, over all pulls.
    pub max_unpacks: usize,
    /// How patient to be with registries.
    pub requests: RequestConfig,
    /// Which partial blobs are kept.
    pub partial: PartialConfig,
    /// What layers and images may cost.
    pub limits: UnpackLimits,
    /// Archives in it are imported when the daemon starts.
    pub import_dir: PathBuf,
}

/// How long is waited for hosts of registries, and how often they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestConfig {
    /// How long a connection may take to come up.
    pub connect_timeout: Duration,
    /// How long a transfer may bring no byte before it is broken off and resumed elsewhere or later.
    pub stall_timeout: Duration,
    /// How long a registry may take to answer a request for something small (a manifest, a token).
    pub request_timeout: Duration,
    /// How often a request is repeated on one host after an error that may pass, without any progress in between.
    pub retries: u32,
    /// How long a host that could not be reached is tried last.
    pub host_cooldown: Duration,
}

/// What partial blobs that nobody transfers may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialConfig {
    /// Those that nobody has resumed for this long are dropped.
    pub keep: Duration,
    /// Bytes of all of them; beyond it the oldest are dropped.
    pub max_bytes: u64,
}

/// What layers and images may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// How many entries one layer may have.
    pub layer_entries: u64,
    /// How many bytes one layer may have, decompressed, and take on disk.
    pub layer_bytes: u64,
    /// How many entries all layers that one pull unpacks may have.
    pub image_entries: u64,
    /// How many bytes all layers that one pull unpacks may have, decompressed.
    pub image_bytes: u64,
    /// How many hundredths of the file system, in bytes and in inodes, layers leave free.
    pub reserve_percent: u64,
}

impl Config {
    /// The folder in which all layers lie.
    #[must_use]
    pub fn layers_dir(&self) -> PathBuf {
        self.state_root.join("layers")
    }

    /// The defaults, with everything kept below `state_root`.
    #[must_use]
    pub fn new(state_root: PathBuf) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            import_dir: state_root.join("images"),
            state_root,
            boot_id: String::new(),
            hosts_dirs: ["/etc/peapod/certs.d", "/etc/containerd/certs.d"].map(PathBuf::from).into(),
            default_registry: "docker.io".to_owned(),
            max_downloads: 4,
            max_unpacks: cores.clamp(2, 8),
            requests: RequestConfig {
                connect_timeout: Duration::from_secs(10),
                stall_timeout: Duration::from_secs(30),
                request_timeout: Duration::from_secs(60),
                retries: 3,
                host_cooldown: Duration::from_secs(30),
            },
            partial: PartialConfig { keep: PARTIAL_AGE, max_bytes: PARTIAL_BYTES },
            limits: UnpackLimits {
                layer_entries: LAYER_ENTRIES,
                layer_bytes: LAYER_BYTES,
                image_entries: IMAGE_ENTRIES,
                image_bytes: IMAGE_BYTES,
                reserve_percent: DISK_RESERVE_PERCENT,
            },
        }
    }
}
