//! What a call can end with, and the one place where that becomes a gRPC code.
//!
//! The kubelet looks at few codes: NotFound, DeadlineExceeded of ExecSync, Unimplemented. Of PullImage it looks at the
//! text, and only where the code is Unknown.

use peapod_image::{ExportError, ImportError, PinError, PullError, RemoveError};
use peapod_pod::{Error as PodError, Lagged};
use peapod_text::excerpt;
use tonic::{Code, Status};

use super::convert::FieldError;
use crate::bounds::STATUS_MESSAGE;
use crate::streaming::RegisterError;
use peapod_text::{one_line, shortened};

/// A call that can't be answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A field is wrong.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The id is unknown.
    #[error("{what} {} not found", excerpt(id))]
    NotFound { what: &'static str, id: String },
    /// The id is the beginning of several.
    #[error("{what} {} is the beginning of more than one id: give more of it", excerpt(id))]
    Ambiguous { what: &'static str, id: String },
    /// Something with pods or containers.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// As many as there may be are there already.
    #[error("{what}: all {limit} that there may be are taken; end one, or try again")]
    Full { what: &'static str, limit: usize },
    /// A subscriber was too slow.
    #[error(transparent)]
    Lagged(#[from] Lagged),
    /// The image could not be pulled.
    #[error("{prefix}{source}", prefix = waiting_reason(source))]
    Pull {
        #[from]
        source: PullError,
    },
    /// The image could not be removed.
    #[error(transparent)]
    RemoveImage(#[from] RemoveError),
    /// An archive could not be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// Images could not be put into an archive.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A stream of messages did not come as it should.
    #[error("{0}")]
    Stream(String, Code),
    /// An image could not be pinned or unpinned.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// A file of the node could not be read.
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// No session can be promised to a client.
    #[error(transparent)]
    Session(#[from] RegisterError),
}

/// What every call returns.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    /// What the caller is told to do, in gRPC's words.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Field(error) if error.is_unsupported() => Code::Unimplemented,
            Self::Field(_) | Self::Ambiguous { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::Pod(error) => pod_code(error),
            Self::Pull { source } => pull_code(source),
            Self::RemoveImage(RemoveError::InUse { .. }) => Code::FailedPrecondition,
            Self::RemoveImage(RemoveError::Store(_)) | Self::Io { .. } => Code::Internal,
            Self::Import(error) => import_code(error),
            Self::Export(ExportError::NotFound { .. }) => Code::NotFound,
            Self::Export(ExportError::Lost { .. } | ExportError::Image { .. }) => Code::FailedPrecondition,
            Self::Export(_) => Code::Internal,
            Self::Stream(_, code) => *code,
            Self::Pin(PinError::NotFound { .. }) => Code::NotFound,
            Self::Pin(PinError::Unnamed { .. }) => Code::FailedPrecondition,
            Self::Pin(PinError::Store(_)) => Code::Internal,
            Self::Session(RegisterError::NoServer) => Code::Unavailable,
            Self::Session(RegisterError::Full) => Code::ResourceExhausted,
            Self::Session(RegisterError::Token(_)) => Code::Internal,
            Self::Full { .. } => Code::ResourceExhausted,
            // A new subscription begins with what is now.
            Self::Lagged(_) => Code::Aborted,
        }
    }

    /// What the caller is told: one printable line of bounded length, whatever the error quotes.
    pub(crate) fn message(&self) -> String {
        shortened(&one_line(&self.to_string()), STATUS_MESSAGE).into_owned()
    }

    /// Whether this says that the thing in question is gone, which many calls want anyway.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Pod(PodError::NotFound { .. }))
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Self::new(failure.code(), failure.message())
    }
}

fn pod_code(error: &PodError) -> Code {
    match error {
        PodError::NotFound { .. } | PodError::ImageNotFound(_) => Code::NotFound,
        PodError::AlreadyExists { .. } => Code::AlreadyExists,
        PodError::Precondition { .. } | PodError::ImageVolume { .. } => Code::FailedPrecondition,
        PodError::Invalid { .. } => Code::InvalidArgument,
        PodError::DiskFull { .. } | PodError::ListFull { .. } | PodError::OutputBusy(_) => Code::ResourceExhausted,
        PodError::ExecTimeout(_) | PodError::CheckpointTimeout(_) => Code::DeadlineExceeded,
        PodError::Unsupported { .. } => Code::Unimplemented,
        PodError::Busy { .. } | PodError::Overridden { .. } => Code::Aborted,
        PodError::Defect { .. } => Code::Internal,
        PodError::StillRunning { .. } | PodError::ShuttingDown => Code::Unavailable,
        // Shown to users as they are: the kubelet puts codes before the text, but not this one.
        PodError::Runtime(_) | PodError::Failed { .. } => Code::Unknown,
    }
}

fn import_code(error: &ImportError) -> Code {
    match error {
        ImportError::BrokenOff | ImportError::Image(PullError::Cancelled { .. }) => Code::Cancelled,
        error if error.is_archives() => Code::InvalidArgument,
        error if error.is_no_space() => Code::ResourceExhausted,
        _ => Code::Internal,
    }
}

/// The kubelet makes the word before the colon the reason that users see, and cuts it off the message.
fn waiting_reason(error: &PullError) -> &'static str {
    if error.is_unavailable() { "RegistryUnavailable: " } else { "" }
}

/// Of a registry's answers the kubelet shows the bare text only if the code is Unknown.
fn pull_code(error: &PullError) -> Code {
    match error {
        PullError::Reference(_) => Code::InvalidArgument,
        PullError::Cancelled { .. } => Code::Cancelled,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(failure: Failure, code: Code, text: &str) {
        let status = Status::from(failure);
        assert_eq!((status.code(), status.message()), (code, text));
    }

    #[test]
    fn what_the_kubelet_looks_at() {
        let probe = PodError::ExecTimeout(std::time::Duration::from_secs(1));
        check(probe.into(), Code::DeadlineExceeded, "command timed out after 1.0 s and was killed");
        let gone = Failure::NotFound { what: "container", id: "abc".into() };
        assert!(gone.is_gone());
        check(gone, Code::NotFound, "container \"abc\" not found");
        check(FieldError::new("config.image", "is missing").into(), Code::InvalidArgument, "config.image: is missing");
        check(FieldError::unsupported("a", "not yet").into(), Code::Unimplemented, "a: not yet");
        check(PodError::Runtime("exec: no such file".into()).into(), Code::Unknown, "exec: no such file");
    }

    #[test]
    fn whatever_is_quoted_the_message_is_short_and_one_line() {
        let forged = format!("exec: {}\n\x1b[2Jforged", "ä\u{202e}".repeat(1 << 20));
        let status = Status::from(Failure::Pod(PodError::Runtime(forged)));
        let message = status.message();
        assert!(message.len() <= STATUS_MESSAGE, "{}", message.len());
        assert!(message.starts_with("exec: ä\\u{202e}") && message.ends_with("\\n\\u{1b}[2Jforged"), "{message}");
        let unknown = FieldError::new("x".repeat(1 << 20), "y".repeat(1 << 20)).to_string();
        assert!(unknown.len() < 3 * crate::bounds::ECHO, "{}", unknown.len());
    }

    #[test]
    fn a_registry_out_of_reach_becomes_the_waiting_reason() {
        let attempts = peapod_image::Attempts(Vec::new());
        let unavailable = PullError::Unavailable { reference: "r/i:t".into(), tried: attempts };
        let status = Status::from(Failure::from(unavailable));
        assert_eq!(status.code(), Code::Unknown);
        assert!(status.message().starts_with("RegistryUnavailable: r/i:t: "), "{}", status.message());
        let unusable = PullError::Manifest { reference: "r/i:t".into(), problem: "is too large".into() };
        check(unusable.into(), Code::Unknown, "r/i:t: is too large");
    }
}
