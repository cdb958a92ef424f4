//! How a call of the OCI runtime can fail.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A call of the OCI runtime failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    #[error("can't run OCI runtime {program}: {source}", program = program.display())]
    Spawn { program: PathBuf, source: io::Error },
    /// With the runtime's own message, word for word.
    #[error("{program} {action}: {message}")]
    Failed { program: String, action: &'static str, message: String },
    #[error("{program} {action} did not end within {} s and was killed", limit.as_secs())]
    Timeout { program: String, action: &'static str, limit: Duration },
    #[error("{program} {action} was still going on when it was to end, and was killed")]
    Interrupted { program: String, action: &'static str },
    #[error("can't read what OCI runtime wrote to {path}: {source}", path = path.display())]
    Answer { path: PathBuf, source: io::Error },
    #[error("can't write {path} for OCI runtime: {source}", path = path.display())]
    Input { path: PathBuf, source: io::Error },
}

impl RuntimeError {
    /// For `map_err`: a file of the runtime's can't be read.
    pub(super) fn answer(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Answer { path, source }
    }

    /// The same for a file that it is to read.
    pub(super) fn input(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Input { path, source }
    }
}
