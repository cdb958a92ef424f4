//! What a call to the shim can end with, and the one translation to ttrpc's codes.

use std::io;
use std::path::{Path, PathBuf};

use ttrpc::Code;

use crate::mount::MountError;
use crate::runtime::RuntimeError;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{kind} {id:?} does not exist")]
    NotFound { kind: &'static str, id: String },
    #[error("{kind} {id:?} exists already")]
    Exists { kind: &'static str, id: String },
    #[error("{kind} {id:?} is {is}, not {wanted}")]
    State { kind: &'static str, id: String, is: &'static str, wanted: &'static str },
    #[error("a checkpoint of container {id:?} is being written")]
    Checkpointing { id: String },
    #[error("a command is being begun in container {id:?}, and has been for a while: try again")]
    Beginning { id: String },
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    #[error("{0} is not supported by this shim")]
    Unsupported(&'static str),
    #[error("too many {what}: {limit} is the most")]
    Full { what: &'static str, limit: usize },
    #[error("can't {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("sysctl {name}: {why}")]
    Sysctl { name: String, why: String },
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error(transparent)]
    Cgroup(#[from] peapod_cgroup::GroupError),
    #[error("can't start pod init: {0}")]
    Init(String),
    #[error("{what} did not end within {seconds} s")]
    Stuck { what: String, seconds: u64 },
    #[error("the shim is ending")]
    Ending,
}

impl Error {
    /// For `map_err`: names what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// The same for rustix.
    pub(crate) fn errno(action: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.to_path_buf();
        move |errno| Self::Io { action, path, source: errno.into() }
    }

    fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } => Code::NOT_FOUND,
            Self::Exists { .. } => Code::ALREADY_EXISTS,
            Self::Checkpointing { .. } | Self::Beginning { .. } => Code::ABORTED,
            Self::State { .. } => Code::FAILED_PRECONDITION,
            Self::Invalid { .. } | Self::Sysctl { .. } => Code::INVALID_ARGUMENT,
            Self::Unsupported(_) => Code::UNIMPLEMENTED,
            Self::Full { .. } => Code::RESOURCE_EXHAUSTED,
            Self::Ending => Code::UNAVAILABLE,
            Self::Io { .. }
            | Self::Mount(_)
            | Self::Runtime(_)
            | Self::Cgroup(_)
            | Self::Init(_)
            | Self::Stuck { .. } => Code::INTERNAL,
        }
    }
}

impl From<Error> for ttrpc::Error {
    fn from(error: Error) -> Self {
        Self::RpcStatus(ttrpc::get_status(error.code(), error.to_string()))
    }
}
