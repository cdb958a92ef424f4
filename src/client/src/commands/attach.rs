//! `peapod attach`.

use peapod_api::v1;

use crate::cli::AttachArgs;
use crate::connect::{CriClient, QUICK, call};
use crate::select;
use crate::streaming::{CommandSide, converse};

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
    Ok(converse(&answer.url, side).await?)
}
