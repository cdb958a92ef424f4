//! What a call to a shim can end with.

use std::time::Duration;

use peapod_shim_protocol::containerd::ttrpc;

use super::Foreign;
use crate::error::Error;
use crate::id::ContainerId;

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
    /// The container is in no state that allows it: it ended meanwhile, or is not yet as far.
    #[error("{0}")]
    State(String),
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
                ttrpc::Code::FAILED_PRECONDITION => Self::State(status.message),
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
            Self::Refused(message) | Self::Invalid(message) | Self::State(message) => Error::Runtime(message),
            other => Error::failed(step, &other),
        }
    }

    /// The same of a call for a container that ran a moment ago: where its shim says that it does no more, or has
    /// deleted it since, the caller hears what it would hear a moment later.
    pub(crate) fn of_running(self, id: &ContainerId, step: &str) -> Error {
        match self {
            Self::State(_) | Self::NotFound(_) => Error::Precondition {
                what: "container",
                id: id.to_string(),
                state: "not running any more".to_owned(),
                need: "this needs a running container",
            },
            other => other.into_error(step),
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

    #[test]
    fn a_container_that_ended_meanwhile_is_no_failure_of_the_runtime() {
        let id = ContainerId::random().unwrap();
        let said = |code, text: &str| {
            let status = ttrpc::get_status(code, text.to_owned());
            ShimError::of("Exec", Duration::from_secs(1), ttrpc::Error::RpcStatus(status)).of_running(&id, "exec")
        };
        for code in [ttrpc::Code::FAILED_PRECONDITION, ttrpc::Code::NOT_FOUND] {
            let error = said(code, "container \"c1\" is exited, not running");
            assert!(matches!(error, Error::Precondition { what: "container", .. }), "{error}");
        }
        let error = said(ttrpc::Code::INTERNAL, "no such program");
        assert!(matches!(&error, Error::Runtime(text) if text == "no such program"), "{error}");
    }
}
