//! The client side of peapod: runs a Pod manifest on any CRI endpoint, and shows what runs there.
//!
//! It speaks CRI and nothing else, and reads logs from the files that the runtime writes on this node.

mod bounds;
mod cli;
mod commands;
mod connect;
mod console;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzz;
mod image_cli;
mod interrupt;
mod labels;
mod logs;
mod manifest;
mod run;
mod select;
mod sources;
mod streaming;
mod table;
mod teardown;
mod units;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

pub use cli::{
    AttachArgs, ClientCommand, ConnectArgs, ExecArgs, ForwardedPort, ImagesArgs, LogsArgs, OutputFormat,
    PortForwardArgs, PsArgs, PullArgs, RmArgs, RmiArgs, RunArgs, StopArgs, WhyArgs,
};

pub use image_cli::{CheckArgs, CheckImageArgs, CheckSubject, ExportArgs, ImportArgs, OtherRuntime, PinArgs};

use connect::CriClient;
use console::Console;
use interrupt::Interrupt;
use manifest::LoadedManifest;
use peapod_text::one_line;
use run::Wishes;
use streaming::{StreamError, unless_signalled};

/// The exit status when peapod itself failed, where another one speaks of a container.
const OWN_FAILURE: u8 = 125;
/// The same when a session broke off, and nobody knows what became of the command.
const BROKEN_SESSION: u8 = 255;

/// Carries out a command and answers the exit status. Errors are printed.
#[must_use]
pub fn run(connect: &ConnectArgs, command: &ClientCommand) -> ExitCode {
    let failure = match command {
        ClientCommand::Run(_) | ClientCommand::Exec(_) | ClientCommand::Attach(_) => OWN_FAILURE,
        _ => 1,
    };
    ExitCode::from(block_on(connect, command, failure).unwrap_or_else(|error| {
        say(&error.into());
        failure
    }))
}

fn block_on(connect: &ConnectArgs, command: &ClientCommand, failure: u8) -> std::io::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        match carry_out(connect, command).await {
            Ok(status) => status,
            Err(error) => {
                let broken = error.downcast_ref::<StreamError>().is_some_and(StreamError::is_broken);
                let status = if broken { BROKEN_SESSION } else { failure };
                unless_signalled(move || say(&error)).await.unwrap_or(status)
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(status)
}

fn say(error: &anyhow::Error) {
    use std::io::Write;
    let text = format!("{error:#}");
    let lines: Vec<_> = text.lines().map(one_line).collect();
    // Without standard error there is only the exit status.
    let _ = writeln!(std::io::stderr().lock(), "peapod: {}", lines.join("\n"));
}

async fn carry_out(connect: &ConnectArgs, command: &ClientCommand) -> anyhow::Result<u8> {
    if let ClientCommand::Run(args) = command {
        return run_pod(connect, args).await;
    }
    if let ClientCommand::Check(args) = command {
        return commands::check(&connect.url(), args).await;
    }
    let connection = &CriClient::open(&connect.url()).await?;
    let done = match command {
        ClientCommand::Run(_) | ClientCommand::Check(_) => Ok(()),
        ClientCommand::Exec(args) => return commands::exec(connection, args).await,
        ClientCommand::Attach(args) => return commands::attach(connection, args).await,
        ClientCommand::PortForward(args) => return commands::port_forward(connection, args).await,
        ClientCommand::Ps(args) => Ok(commands::print(commands::ps(connection, args).await?.as_bytes())?),
        ClientCommand::Images(args) => Ok(commands::print(commands::images(connection, args).await?.as_bytes())?),
        ClientCommand::Logs(args) => commands::logs(connection, args).await,
        ClientCommand::Stop(args) => commands::stop(connection, args).await,
        ClientCommand::Rm(args) => commands::rm(connection, args).await,
        ClientCommand::Pull(args) => commands::pull(connection, args).await,
        ClientCommand::Rmi(args) => commands::rmi(connection, args).await,
        ClientCommand::Import(args) => commands::import(connection, args).await,
        ClientCommand::Export(args) => commands::export(connection, args).await,
        ClientCommand::Pin(args) => commands::pin(connection, args, true).await,
        ClientCommand::Unpin(args) => commands::pin(connection, args, false).await,
        ClientCommand::Why(args) => Ok(commands::print(commands::why(connection, args).await?.as_bytes())?),
    };
    done.map(|()| 0)
}

async fn run_pod(connect: &ConnectArgs, args: &RunArgs) -> anyhow::Result<u8> {
    // The manifests first: their mistakes need no runtime.
    let sources = sources::read(&args.files)?;
    let called = sources::called(&args.files);
    if args.explain {
        let explained = manifest::explain(&sources).with_context(|| format!("cannot run {called}"))?;
        commands::print(sources::explanation(&explained).as_bytes())?;
        return Ok(0);
    }
    let LoadedManifest { workloads, notes } =
        manifest::load(&sources).with_context(|| format!("cannot run {called}"))?;
    let connection = CriClient::open(&connect.url()).await?;
    let alone = workloads.len() == 1;
    let names = workloads.iter().map(|workload| workload.longest_name(alone));
    let (console, writer) = Console::start(names.max().unwrap_or_default())?;
    let interrupt = Interrupt::listen()?;
    let names: Vec<String> = workloads.iter().map(ToString::to_string).collect();
    console.note(format!("running {} on {}", names.join(", "), connection.runtime_name)).await;
    for note in notes {
        console.note(note).await;
    }
    // Nobody changes it while it runs.
    let (_, changes) = tokio::sync::mpsc::channel(1);
    let wishes = Wishes { first: &workloads, changes };
    let status = run::run(&connection, wishes, args, &console, &interrupt).await;
    drop(console);
    match unless_signalled(move || writer.finish()).await {
        Some(signalled) => Ok(signalled),
        None => Ok(status?),
    }
}
