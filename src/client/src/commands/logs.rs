//! `peapod logs`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use peapod_api::v1;
use tokio::sync::watch;

use crate::cli::LogsArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::console::Console;
use crate::logs::{Joiner, LogFile, LogLine, follow};
use crate::select;

/// How late a container's end may be seen.
const POLL: Duration = Duration::from_millis(500);

struct LogSource {
    id: String,
    name: String,
    colour: usize,
    path: PathBuf,
}

/// Prints what containers wrote; with `--follow` until they end.
pub(crate) async fn logs(connection: &CriClient, args: &LogsArgs) -> anyhow::Result<()> {
    let pod = select::pod(connection, &args.pod).await?;
    let containers = select::containers(connection, &pod, &args.containers).await?;
    let mut sources = Vec::new();
    for (colour, container) in containers.iter().enumerate() {
        let status = status(connection, &container.id).await?;
        let path = PathBuf::from(status.log_path);
        let name = select::container_name(container).to_owned();
        anyhow::ensure!(path.is_absolute(), "container {name} keeps no log");
        sources.push(LogSource { id: container.id.clone(), name, colour, path });
    }
    let width = sources.iter().map(|source| source.name.len()).max().unwrap_or_default();
    let (console, writer) = Console::start(width)?;
    let printed = join_all(sources.iter().map(|source| one(connection, source, args, &console))).await;
    drop(console);
    writer.finish();
    printed.into_iter().collect()
}

async fn one(connection: &CriClient, source: &LogSource, args: &LogsArgs, console: &Console) -> anyhow::Result<()> {
    let unreadable = |error| anyhow::anyhow!("cannot read the log {}: {error}", source.path.display());
    let show = async |mut line: LogLine| {
        if args.timestamps {
            line.text.splice(..0, format!("{} ", line.time).into_bytes());
        }
        console.line(source.colour, &source.name, line.stream, line.text).await
    };
    let mut skip = 0;
    if let Some(tail) = args.tail {
        skip = count(&source.path).map_err(unreadable)?.saturating_sub(tail);
    }
    let sink = |line: LogLine| {
        let skipped = skip > 0;
        skip = skip.saturating_sub(1);
        let shown = (!skipped).then(|| show(line));
        async move {
            match shown {
                Some(shown) => shown.await,
                None => true,
            }
        }
    };
    let (ended, receiver) = watch::channel(!args.follow);
    tokio::select! {
        followed = follow(&source.path, receiver, sink) => followed.map_err(unreadable),
        error = until_end(connection, &source.id, ended) => Err(error),
    }
}

/// Says when the container has ended; comes back only with an error.
async fn until_end(connection: &CriClient, id: &str, ended: watch::Sender<bool>) -> anyhow::Error {
    while !*ended.borrow() {
        match status(connection, id).await {
            Ok(status) if status.state() == v1::ContainerState::ContainerRunning => {}
            Ok(_) => {
                ended.send_replace(true);
            }
            Err(error) if error.is_not_found() => {
                ended.send_replace(true);
            }
            Err(error) => return error.into(),
        }
        tokio::time::sleep(POLL).await;
    }
    std::future::pending().await
}

async fn status(connection: &CriClient, id: &str) -> Result<v1::ContainerStatus, CallError> {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let answer = call("ContainerStatus", QUICK, connection.runtime.clone().container_status(request)).await?;
    Ok(answer.status.unwrap_or_default())
}

/// How many lines a log has by now.
fn count(path: &Path) -> std::io::Result<usize> {
    let (mut file, mut joiner, mut count) = (LogFile::new(path), Joiner::default(), 0);
    loop {
        let lines: VecDeque<_> = file.read()?.into();
        if lines.is_empty() {
            return Ok(count + joiner.rest().len());
        }
        count += lines.iter().filter(|raw| joiner.push(raw).is_some()).count();
    }
}
