//! Why a copy ends before its end.

use std::io;

use peapod_text::one_line;

/// What went wrong. What was written before stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    /// The archive is none, or ends too early.
    #[error("what the container sent is no whole tar archive: {0}")]
    Archive(io::Error),
    /// It has what no `tar` writes that was asked for one file or folder.
    #[error("the container sent `{name}`, which {why}: nothing more is taken from it")]
    Hostile { name: String, why: &'static str },
    /// This node's own.
    #[error("cannot write `{name}`: {source}")]
    Write { name: String, source: io::Error },
    /// Something is in the way.
    #[error("cannot write `{name}`: {why}")]
    InTheWay { name: String, why: &'static str },
    /// It is neither a file nor a folder.
    #[error("nothing was copied: {0}")]
    NotCopied(String),
    #[error("nothing was copied: the container sent an empty archive")]
    Empty,
    #[error("there is no room for `{name}`: a copy leaves a twentieth of a file system free, or 1 GiB and 65536 files")]
    NoRoom { name: String },
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: io::Error },
}

impl CopyError {
    pub(super) fn hostile(name: &[u8], why: &'static str) -> Self {
        Self::Hostile { name: shown(name), why }
    }

    pub(super) fn write(name: &[u8]) -> impl Fn(rustix::io::Errno) -> Self {
        move |errno| Self::Write { name: shown(name), source: errno.into() }
    }
}

/// A name of others as a line of bounded length.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(256)]);
    one_line(&text).into_owned()
}
