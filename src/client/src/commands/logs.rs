//! `peapod logs`: what containers of one or several pods wrote, in the order of its times.

use tokio::sync::mpsc;

use crate::cli::LogsArgs;
use crate::connect::CriClient;
use crate::console::Console;
use crate::logs::{LogLook, LogPrinter};
use crate::targets::{self, Targets};

/// Prints what containers wrote; with `--follow` until their pods have stopped.
pub(crate) async fn logs(connection: &CriClient, args: &LogsArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, all: args.all, ..Targets::default() };
    let mut found = targets::find(connection, named, |_| true).await?;
    let (pods, runs) = (std::mem::take(&mut found.pods), std::mem::take(&mut found.runs));
    let none_yet = pods.is_empty() && !args.all && (!runs.is_empty() || !found.being_made.is_empty());
    found.conclude_strictly(Vec::new())?;
    anyhow::ensure!(!none_yet || args.follow, "no pod of that is there yet; `peapod ps` shows what is being made");
    let look = LogLook { connection, args, pods: &pods, runs: &runs };
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
