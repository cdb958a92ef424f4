//! `peapod attach`.

use peapod_api::v1;

use crate::cli::AttachArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;
use crate::streaming::{CommandSide, StreamError, converse};

/// Hears what a container writes from now on, and writes to its input; answers 0 when it has ended.
pub(crate) async fn attach(connection: &CriClient, args: &AttachArgs) -> anyhow::Result<u8> {
    let container = select::target(connection, &args.pod, args.container.as_ref()).await?;
    let side = CommandSide { stdin: args.stdin, tty: args.tty, limit: None };
    let request = v1::AttachRequest {
        container_id: container.id,
        stdin: side.stdin,
        tty: side.tty,
        stdout: true,
        stderr: !side.tty,
    };
    let answer = call("Attach", QUICK, connection.runtime.clone().attach(request)).await?;
    let ended = converse(&answer.url, side).await;
    ended.map_err(|error| broken(error).into())
}

/// What is attached to did run: a session that has failed has broken off.
fn broken(error: StreamError) -> StreamError {
    match error {
        StreamError::Failed(text) => StreamError::Broke(format!(" ({text})")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_has_failed_has_broken_off() {
        let error = broken(StreamError::Failed("the pod's shim has ended".to_owned()));
        assert!(error.is_broken() && error.to_string().contains("the session broke off (the pod's shim has ended)"));
        assert!(!broken(StreamError::Silent { address: String::new() }).is_broken());
    }
}
