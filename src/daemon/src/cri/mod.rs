//! The CRI services: the only place of the daemon that knows their messages. One file per call.

mod convert;
mod image;
mod node;
mod runtime;
mod stats;
mod status;

use std::time::Instant;

use tonic::{Code, Response, Status};

pub(crate) use image::ImageCalls;
pub(crate) use node::Node;
pub(crate) use runtime::RuntimeCalls;

use status::Answer;

/// Turns what a call found into what the wire carries, and leaves one line about it in the log.
fn reply<T>(call: &'static str, started: Instant, answer: Answer<T>) -> Result<Response<T>, Status> {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match answer {
        Ok(message) => {
            tracing::debug!(call, ms, "answered");
            Ok(Response::new(message))
        }
        Err(failure) => {
            let code = failure.code();
            match code {
                // What clients ask in their normal course.
                Code::NotFound | Code::Unimplemented => tracing::debug!(call, ms, ?code, %failure, "refused"),
                _ => tracing::warn!(call, ms, ?code, %failure, "failed"),
            }
            Err(failure.into())
        }
    }
}

/// One line per call: `calls! { node; name => Request, Response; … }` would hide it from searches, so only the frame of a
/// method is shared.
macro_rules! answer {
    ($call:literal, $request:ident, $work:expr) => {{
        let started = std::time::Instant::now();
        let $request = $request.into_inner();
        crate::cri::reply($call, started, $work)
    }};
}
use answer;
