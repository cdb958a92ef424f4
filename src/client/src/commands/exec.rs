//! `peapod exec`.

use std::io::{self, Write};
use std::time::Duration;

use peapod_api::v1;
use peapod_text::one_line;

use crate::cli::ExecArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;
use crate::streaming::{CommandSide, StreamError, converse};

/// The exit status that shells have for it.
const NO_SUCH_COMMAND: u8 = 127;

/// Runs a command in a container, with this process' streams as its own, and answers its exit code.
pub(crate) async fn exec(connection: &CriClient, args: &ExecArgs) -> anyhow::Result<u8> {
    let container = select::target(connection, &args.pod, args.container.as_ref()).await?;
    if args.timeout > 0 {
        return limited(connection, &container.id, args).await;
    }
    let side = CommandSide { stdin: args.stdin, tty: args.tty };
    let request = v1::ExecRequest {
        container_id: container.id,
        cmd: args.command.clone(),
        stdin: side.stdin,
        tty: side.tty,
        stdout: true,
        stderr: !side.tty,
    };
    let answer = call("Exec", QUICK, connection.runtime.clone().exec(request)).await?;
    match converse(&answer.url, side).await {
        Err(StreamError::Failed(text)) if is_missing(&text, &args.command) => {
            // Without standard error the status says it.
            super::note(&format!("peapod: {}\n", one_line(&text)))?;
            Ok(NO_SUCH_COMMAND)
        }
        other => Ok(other?),
    }
}

/// Whether an OCI runtime says that the program is not there.
fn is_missing(text: &str, command: &[String]) -> bool {
    let said = text.to_lowercase();
    command.first().is_some_and(|program| text.contains(program.as_str()))
        && (said.contains("not found") || said.contains("no such file"))
}

/// The runtime ends the command in time. It hands over the output when that has ended, and keeps at most some megabytes
/// of it.
async fn limited(connection: &CriClient, container: &str, args: &ExecArgs) -> anyhow::Result<u8> {
    let deadline = Duration::from_secs(args.timeout.into()) + QUICK;
    let request = v1::ExecSyncRequest {
        container_id: container.to_owned(),
        cmd: args.command.clone(),
        timeout: args.timeout.into(),
    };
    let answer = call("ExecSync", deadline, connection.runtime.clone().exec_sync(request)).await?;
    super::print(&answer.stdout)?;
    super::ignore_closed(io::stderr().lock().write_all(&answer.stderr))?;
    Ok(u8::try_from(answer.exit_code).unwrap_or(255))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_from_other_failures() {
        let command = ["/nosuch".to_owned()];
        assert!(is_missing("crun exec: executable file `/nosuch` not found: No such file or directory", &command));
        assert!(
            !is_missing("the container is not found", &command) && !is_missing("/nosuch: permission denied", &command)
        );
    }
}
