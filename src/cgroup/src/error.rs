//! What can go wrong with control groups.

use std::io;
use std::path::{Path, PathBuf};

use peapod_sys::mountinfo::TABLE;

/// The node's control groups can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The root can't be looked at.
    #[error("can't read the cgroup root {root}: {source}")]
    Read {
        /// The root that was asked for.
        root: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// What is mounted can't be read.
    #[error("can't read {TABLE}: {0}; is proc mounted at /proc?")]
    Mounts(#[source] io::Error),
    /// Nothing of the kind is mounted there.
    #[error("{root} holds no cgroup file system: mount cgroup2 there, or name another root in the configuration")]
    None {
        /// The root that was asked for.
        root: PathBuf,
    },
}

/// A node lacks what a driver needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Somebody else is PID 1.
    #[error("systemd is not PID 1 of this machine ({looked_for} is not there): use \"cgroupfs\" or \"auto\"")]
    NoSystemd {
        /// Where its presence shows.
        looked_for: PathBuf,
    },
    /// Version 1, or nothing at all.
    #[error("systemd makes containers' cgroups on cgroup v2 alone, and {root} is none: use \"cgroupfs\" or \"auto\"")]
    NotV2 {
        /// Where groups are looked for.
        root: PathBuf,
    },
}

/// A text is no path of a control group.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} {why}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What it should be.
    pub why: &'static str,
}

impl PathError {
    pub(crate) const PLAIN: &str = "is no cgroup path: it must be absolute, below the root, and have no \"..\", \
                                    no line feed and no name of more than 255 bytes";
    pub(crate) const SLICE: &str = "does not end in a slice of systemd, such as \"kubepods-burstable.slice\"";
}

/// An operation on one control group failed.
#[derive(Debug, thiserror::Error)]
#[error("can't {action} {path}: {source}")]
pub struct GroupError {
    /// What was tried, as a verb: `read`, `write`, `remove` …
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's reason.
    pub source: io::Error,
}

impl GroupError {
    pub(crate) fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { action, path, source }
    }

    /// Of some group below `root`, whose own path may be too long to tell.
    pub(crate) fn below(self, root: &Path) -> Self {
        Self { path: root.join("…"), ..self }
    }

    /// Whether the group is gone: never an error for those who want it gone.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        // ENODEV: the file was opened before the group went.
        self.source.kind() == io::ErrorKind::NotFound
            || self.source.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32)
    }
}

impl From<GroupError> for io::Error {
    fn from(error: GroupError) -> Self {
        Self::new(error.source.kind(), error.to_string())
    }
}
