//! `peapod logs`: what containers of one or several pods wrote, in the order of its times.

use tokio::sync::mpsc;

use crate::cli::LogsArgs;
use crate::connect::CriClient;
use crate::console::Console;
use crate::logs::{LogLook, LogPrinter};
use crate::targets::{self, Targets};

/// Prints what containers wrote; with `--follow` until their pods have stopped.
pub(crate) async fn logs(connection: &CriClient, args: &LogsArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &[], all: args.all };
    let mut found = targets::find(connection, named, |_| true).await?;
    let pods = std::mem::take(&mut found.pods);
    found.conclude_strictly(Vec::new())?;
    let look = LogLook { connection, args, pods: &pods };
    let there = look.containers().await?;
    let width = if args.no_prefix { 0 } else { there.iter().map(|told| told.label.len()).max().unwrap_or_default() };
    let (console, writer) = Console::start(width)?;
    let mut printer = LogPrinter::new(args, &console);
    for told in there {
        printer.add(told, args.tail)?;
    }
    let (news, heard) = mpsc::channel(16);
    let printed = tokio::select! {
        printed = printer.print(heard) => printed,
        error = look.go_on(news) => Err(error),
    };
    drop(console);
    let lost = writer.finish();
    printed?;
    anyhow::ensure!(lost == 0, "not all lines could be written: {lost} are missing");
    Ok(())
}
