//! Why a file of devices can't be used.

use std::io;

use thiserror::Error;

use crate::bounds::{ALL_BYTES, FILE_BYTES, FILES, PROBLEM_BYTES};

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FileProblem {
    /// It can't be read.
    #[error("can't be read: {0}")]
    Unreadable(String),
    /// It is something else than a file.
    #[error("is no regular file")]
    NoFile,
    /// Its hooks would run as root, and somebody else may write them.
    #[error("{0}: what it says is done as root (`chown root:root` and `chmod go-w` it)")]
    Writable(String),
    /// It has too many bytes.
    #[error("has more than {FILE_BYTES} bytes")]
    TooLarge,
    /// All files together have too many bytes.
    #[error("is left out: the files before it have {ALL_BYTES} bytes already, or {FILES} are read")]
    TooMany,
    /// It is neither JSON nor YAML, or has fields that the format does not have.
    #[error("{0}")]
    Syntax(String),
    /// It says what it can't.
    #[error("{0}")]
    Invalid(String),
}

impl FileProblem {
    pub(crate) fn unreadable(error: &io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }

    /// In one line of bounded length.
    pub(crate) fn syntax(text: &str) -> Self {
        Self::Syntax(short(text))
    }

    pub(crate) fn invalid(text: &str) -> Self {
        Self::Invalid(short(text))
    }
}

fn short(text: &str) -> String {
    peapod_text::shortened(&peapod_text::one_line(text), PROBLEM_BYTES).into_owned()
}
