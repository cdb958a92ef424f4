//! What is called, on either side, and what a call ends with.

use std::time::Duration;

use peapod_text::excerpt;
use protobuf::Message as _;

use crate::api::{Answer, Call, CallStatus, Event};
use crate::bounds::{REASON_BYTES, SENT_BYTES};
use crate::mux::{MuxMessage, MuxMessageKind};

/// The service of a plugin.
pub(crate) const PLUGIN: &str = "nri.pkg.api.v1alpha1.Plugin";
/// That of the runtime.
pub(crate) const RUNTIME: &str = "nri.pkg.api.v1alpha1.Runtime";

/// What a plugin calls.
pub(crate) const REGISTER: &str = "RegisterPlugin";
pub(crate) const UPDATE_CONTAINERS: &str = "UpdateContainers";

/// What a plugin is called, beside its events.
pub(crate) const CONFIGURE: &str = "Configure";
pub(crate) const SYNCHRONIZE: &str = "Synchronize";
pub(crate) const SHUTDOWN: &str = "Shutdown";
/// In which older plugins have events that have a call of their own today.
pub(crate) const STATE_CHANGE: &str = "StateChange";

/// The codes of gRPC that matter here.
pub(crate) const OK: i32 = 0;
pub(crate) const UNKNOWN: i32 = 2;
pub(crate) const INVALID_ARGUMENT: i32 = 3;
pub(crate) const RESOURCE_EXHAUSTED: i32 = 8;
pub(crate) const UNIMPLEMENTED: i32 = 12;
pub(crate) const UNAVAILABLE: i32 = 14;

/// The call that an event is; `None` of what is none.
pub(crate) fn method(event: Event) -> Option<&'static str> {
    Some(match event {
        Event::RUN_POD_SANDBOX => "RunPodSandbox",
        Event::STOP_POD_SANDBOX => "StopPodSandbox",
        Event::REMOVE_POD_SANDBOX => "RemovePodSandbox",
        Event::CREATE_CONTAINER => "CreateContainer",
        Event::POST_CREATE_CONTAINER => "PostCreateContainer",
        Event::START_CONTAINER => "StartContainer",
        Event::POST_START_CONTAINER => "PostStartContainer",
        Event::UPDATE_CONTAINER => "UpdateContainer",
        Event::POST_UPDATE_CONTAINER => "PostUpdateContainer",
        Event::STOP_CONTAINER => "StopContainer",
        Event::REMOVE_CONTAINER => "RemoveContainer",
        Event::UPDATE_POD_SANDBOX => "UpdatePodSandbox",
        Event::POST_UPDATE_POD_SANDBOX => "PostUpdatePodSandbox",
        Event::VALIDATE_CONTAINER_ADJUSTMENT => "ValidateContainerAdjustment",
        Event::UNKNOWN | Event::LAST => return None,
    })
}

/// Whether older plugins hear of it by [`STATE_CHANGE`].
pub(crate) fn is_state_change(event: Event) -> bool {
    matches!(
        event,
        Event::RUN_POD_SANDBOX
            | Event::STOP_POD_SANDBOX
            | Event::REMOVE_POD_SANDBOX
            | Event::POST_UPDATE_POD_SANDBOX
            | Event::POST_CREATE_CONTAINER
            | Event::START_CONTAINER
            | Event::POST_START_CONTAINER
            | Event::POST_UPDATE_CONTAINER
            | Event::REMOVE_CONTAINER
    )
}

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PluginCallError {
    /// The other side refused, and goes on.
    #[error("{message}")]
    Refused { code: i32, message: String },
    /// The message is too long to be sent.
    #[error("the message for it has {0} bytes; {SENT_BYTES} are the most")]
    TooLong(usize),
    /// It took too long.
    #[error("it did not answer in {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection has ended.
    #[error("{0}")]
    Closed(String),
    /// What it answered is no answer.
    #[error("it answered what is no answer")]
    Malformed,
}

impl PluginCallError {
    /// Whether the other side can't be called any more.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Closed(_) | Self::Malformed)
    }

    pub(crate) fn is_unimplemented(&self) -> bool {
        matches!(self, Self::Refused { code: UNIMPLEMENTED, .. })
    }
}

/// The message of a call.
pub(crate) fn request(stream: u32, service: &str, method: &str, payload: Vec<u8>, timeout_nano: i64) -> MuxMessage {
    let call =
        Call { service: service.to_owned(), method: method.to_owned(), payload, timeout_nano, ..Call::default() };
    // Encoding fails for messages of more than 2 GiB alone, which would not be sent anyway.
    MuxMessage { kind: MuxMessageKind::Request, stream, payload: call.write_to_bytes().unwrap_or_default() }
}

/// The message of an answer.
pub(crate) fn response(stream: u32, result: Result<Vec<u8>, (i32, String)>) -> MuxMessage {
    let mut answer = Answer::new();
    match result {
        Ok(payload) => answer.payload = payload,
        Err((code, message)) => {
            answer.status = Some(CallStatus { code, message, ..CallStatus::default() }).into();
        }
    }
    MuxMessage { kind: MuxMessageKind::Response, stream, payload: answer.write_to_bytes().unwrap_or_default() }
}

/// What an answer says.
pub(crate) fn result(payload: &[u8]) -> Result<Vec<u8>, PluginCallError> {
    let answer = Answer::parse_from_bytes(payload).map_err(|_| PluginCallError::Malformed)?;
    match answer.status.as_ref().filter(|status| status.code != OK) {
        None => Ok(answer.payload),
        Some(status) => Err(PluginCallError::Refused {
            code: status.code,
            message: peapod_text::shortened(&excerpt(&status.message).to_string(), REASON_BYTES).into_owned(),
        }),
    }
}
