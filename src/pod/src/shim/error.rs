//! What a call to a shim can end with.

use std::time::Duration;

use peapod_shim_protocol::containerd::ttrpc;

use super::Foreign;
use crate::error::Error;

/// Why a call to a shim failed. One variant per way in which the driver goes on.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ShimError {
    /// The connection is closed: the shim is gone.
    #[error("the pod's shim is gone ({0})")]
    Gone(String),
    /// No answer in time.
    #[error("the pod's shim did not answer {call} within {:.1} s", limit.as_secs_f64())]
    Timeout {
        /// Which call.
        call: &'static str,
        /// How long it was awaited.
        limit: Duration,
    },
    /// The shim knows no such task or exec.
    #[error("{0}")]
    NotFound(String),
    /// The shim does no such thing, or is too old to know the call.
    #[error("the pod's shim can't do that: {0}")]
    Unsupported(String),
    /// It is a shim that this daemon can't drive.
    #[error("the pod has {0}")]
    Foreign(Foreign),
    /// What was asked for can't be done on this node.
    #[error("{0}")]
    Invalid(String),
    /// The shim refused, with the OCI runtime's message where it has one.
    #[error("{0}")]
    Refused(String),
}

impl ShimError {
    pub(crate) fn of(call: &'static str, limit: Duration, error: ttrpc::Error) -> Self {
        match error {
            ttrpc::Error::RpcStatus(status) => match status.code() {
                ttrpc::Code::NOT_FOUND => Self::NotFound(status.message),
                ttrpc::Code::UNIMPLEMENTED => Self::Unsupported(status.message),
                ttrpc::Code::DEADLINE_EXCEEDED => Self::Timeout { call, limit },
                ttrpc::Code::INVALID_ARGUMENT => Self::Invalid(status.message),
                _ => Self::Refused(status.message),
            },
            // The client's own clock; ttrpc has no other word for it.
            ttrpc::Error::Others(text) if text.contains("deadline elapsed") => Self::Timeout { call, limit },
            other => Self::Gone(other.to_string()),
        }
    }

    /// The same for callers of this crate.
    pub(crate) fn into_error(self, step: impl Into<String>) -> Error {
        match self {
            Self::Refused(message) | Self::Invalid(message) => Error::Runtime(message),
            other => Error::failed(step, &other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_takes_too_long_is_not_a_shim_that_is_gone() {
        let of = |error| ShimError::of("Delete", Duration::from_secs(1), error);
        let late = ttrpc::Error::Others("Request deadline elapsed".to_owned());
        assert!(matches!(of(late), ShimError::Timeout { call: "Delete", .. }));
        assert!(matches!(of(ttrpc::Error::RemoteClosed), ShimError::Gone(_)));
    }
}
