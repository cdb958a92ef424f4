//! What others see of an image.

use crate::digest::Digest;
use peapod_trace::Span;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The digest of an image's configuration, `sha256:…`: the one name under which peapod shows an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub(crate) Digest);

impl ImageId {
    /// Reads `sha256:` and 64 hexadecimal digits, or the digits alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Digest::parse(text).or_else(|| Digest::from_hex(text)).map(Self)
    }

    /// `sha256:…`
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether `text` is it or its beginning, with or without `sha256:`.
    #[must_use]
    pub fn begins_with(&self, text: &str) -> bool {
        self.0.hex().starts_with(text.strip_prefix("sha256:").unwrap_or(text))
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An image that is here, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its one id.
    pub id: ImageId,
    /// Every tag that leads to it, in full (`docker.io/library/busybox:latest`), sorted.
    pub repo_tags: Vec<String>,
    /// Every `name@digest` under which it was pulled, sorted.
    pub repo_digests: Vec<String>,
    /// What it takes on disk, layers that it shares with others included; never 0.
    pub size: u64,
    /// What it says about running it.
    pub config: ImageConfig,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// Whether garbage collection must leave it alone.
    pub pinned: bool,
}

/// The part of an image's configuration that containers need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers; empty means root.
    pub user: String,
    /// The fixed part of the command line.
    pub entrypoint: Vec<String>,
    /// The part of the command line that a container may replace.
    pub cmd: Vec<String>,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// Empty means `/`.
    pub working_dir: String,
    /// Such as `SIGQUIT` or `3`.
    pub stop_signal: Option<String>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// Paths that the image wants as volumes, sorted.
    pub volumes: Vec<String>,
    /// Of what is no image but some files, which can be mounted and not be run: what it is, as a media type. Empty for
    /// an image.
    pub artifact_type: String,
}

impl ImageConfig {
    /// Whether it is no image, but some files.
    #[must_use]
    pub fn is_artifact(&self) -> bool {
        !self.artifact_type.is_empty()
    }
}

/// The directories that a container's root file system is laid over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// Top layer first; never empty.
    pub lower_dirs: Vec<PathBuf>,
}

/// What the image store takes on its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsInfo {
    /// A directory on that file system.
    pub mountpoint: PathBuf,
    /// Bytes of all layers and other blobs.
    pub used_bytes: u64,
    /// Inodes of all layers.
    pub inodes_used: u64,
}

/// What to pull, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// As the client wrote it; it is normalised here.
    pub reference: String,
    /// None pulls anonymously.
    pub credentials: Option<Credentials>,
    /// What is told the stages.
    pub span: Span,
}

/// Who asks a registry. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// For basic authentication and for asking for a token.
    pub username: String,
    /// Goes with `username`.
    pub password: String,
    /// Exchanged for a token at the registry's token server.
    pub identity_token: String,
    /// Sent to the registry as it is.
    pub registry_token: String,
    /// If not empty, the only host that may get these.
    pub server_address: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("server_address", &self.server_address)
            .finish_non_exhaustive()
    }
}
