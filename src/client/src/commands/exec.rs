//! `peapod exec`.

use std::io::{self, Write};
use std::time::Duration;

use peapod_api::v1;

use crate::cli::ExecArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;

/// A command without a time-out of its own is waited for this long.
const LONGEST: Duration = Duration::from_secs(86400);

/// Runs a command in a container, prints what it wrote, and answers its exit code.
///
/// The runtime hands over the output when the command has ended, and keeps at most some megabytes of it.
pub(crate) async fn exec(connection: &CriClient, args: &ExecArgs) -> anyhow::Result<u8> {
    let pod = select::pod(connection, &args.pod).await?;
    let container = select::running(connection, &pod, args.container.as_ref()).await?;
    let deadline = if args.timeout == 0 { LONGEST } else { Duration::from_secs(args.timeout.into()) + QUICK };
    let request =
        v1::ExecSyncRequest { container_id: container.id, cmd: args.command.clone(), timeout: args.timeout.into() };
    let answer = call("ExecSync", deadline, connection.runtime.clone().exec_sync(request)).await?;
    super::print(&answer.stdout)?;
    super::ignore_closed(io::stderr().lock().write_all(&answer.stderr))?;
    Ok(u8::try_from(answer.exit_code).unwrap_or(255))
}
