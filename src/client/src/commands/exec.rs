//! `peapod exec`.

use std::io::{self, Write};
use std::time::Duration;

use peapod_api::v1;

use crate::cli::ExecArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;
use crate::streaming::{CommandSide, converse};

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
    Ok(converse(&answer.url, side).await?)
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
