//! The client side of peapod: runs a Pod manifest on any CRI endpoint, and shows what runs there.
//!
//! It speaks CRI and nothing else, and reads logs from the files that the runtime writes on this node.

mod bounds;
mod changes;
mod cli;
mod commands;
mod connect;
mod console;
mod copy;
mod detach;
mod explanation;
#[cfg(test)]
mod fake;
mod file_watch;
#[cfg(test)]
mod fuzz;
mod image_cli;
mod interrupt;
mod labels;
mod logs;
mod manifest;
mod manifest_files;
mod run;
mod run_files;
mod runs;
mod select;
mod start_daemon;
mod streaming;
mod table;
mod targets;
mod teardown;
mod units;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::{Either, select};
use tokio::sync::mpsc;

pub use cli::{
    ApplyArgs, AttachArgs, ClientCommand, CompletionsArgs, ConnectArgs, CopyPlace, CpArgs, DownArgs, ExecArgs,
    ForwardedPort, GenerateArgs, Generated, ImagesArgs, LogsArgs, ManArgs, OutputFormat, PortForwardArgs, PsArgs,
    PullArgs, RmArgs, RmiArgs, RunArgs, Since, StopArgs, SystemdArgs, TopArgs, WhyArgs,
};

pub use image_cli::{CheckArgs, CheckImageArgs, CheckSubject, ExportArgs, ImportArgs, OtherRuntime, PinArgs};

use changes::{RunRequests, RunWishes};
use connect::{CriClient, QUICK};
use console::Console;
use file_watch::FileWatch;
use interrupt::Interrupt;
use manifest::{LoadedManifest, Workload};
use peapod_text::{chain, one_line};
use run::{PastRun, RunContext, Wishes};
use run_files::RunFiles;
use runs::{RunOptions, RunRecord, RunSubjects};
use streaming::{StreamError, unless_signalled};

/// The exit status when peapod itself failed, where another one speaks of a container.
const OWN_FAILURE: u8 = 125;
/// The same when a session broke off, and nobody knows what became of the command.
const BROKEN_SESSION: u8 = 255;

/// Carries out a command and answers the exit status. Errors are printed. `whole` is what the program understands, of
/// which completions and manual pages tell.
#[must_use]
pub fn run(connect: &ConnectArgs, command: &ClientCommand, whole: fn() -> clap::Command) -> ExitCode {
    let failure = match command {
        ClientCommand::Run(_) | ClientCommand::Apply(_) | ClientCommand::Exec(_) | ClientCommand::Attach(_) => {
            OWN_FAILURE
        }
        _ => 1,
    };
    let done = match without_a_runtime(connect, command, whole) {
        Some(done) => done.map(|()| 0),
        None => block_on(connect, command, failure).map_err(Into::into),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        say(&error);
        failure
    }))
}

/// Commands that ask no runtime.
fn without_a_runtime(
    connect: &ConnectArgs,
    command: &ClientCommand,
    whole: fn() -> clap::Command,
) -> Option<anyhow::Result<()>> {
    let text = match command {
        ClientCommand::Completions(args) => Ok(commands::completions(whole(), args.shell)),
        ClientCommand::Man(args) => commands::man(whole(), &args.dir).map(|()| String::new()),
        ClientCommand::Generate(GenerateArgs { what: Generated::Systemd(args) }) => commands::systemd(connect, args),
        _ => return None,
    };
    Some(text.and_then(|text| Ok(commands::print(text.as_bytes())?)))
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
    let text = chain(error.as_ref());
    let lines: Vec<_> = text.lines().map(one_line).collect();
    let lines = lines.join("\n");
    // A run that nobody watches has a file for it. On a full disk who started it hears it where he hears of the pods.
    if writeln!(std::io::stderr().lock(), "peapod: {lines}").is_err() && detach::supervised().is_some() {
        // Without either there is only the exit status.
        let _ = writeln!(std::io::stdout().lock(), "{lines}");
    }
}

async fn carry_out(connect: &ConnectArgs, command: &ClientCommand) -> anyhow::Result<u8> {
    if let ClientCommand::Run(args) = command {
        return run_pods(connect, args).await;
    }
    if let ClientCommand::Check(args) = command {
        return commands::check(&connect.url(), args).await;
    }
    let connection = &CriClient::open(&connect.url()).await?;
    let done = match command {
        ClientCommand::Run(_)
        | ClientCommand::Check(_)
        | ClientCommand::Generate(_)
        | ClientCommand::Completions(_)
        | ClientCommand::Man(_) => Ok(()),
        ClientCommand::Apply(args) => return commands::apply(connection, connect.said().as_deref(), args).await,
        ClientCommand::Exec(args) => return commands::exec(connection, args).await,
        ClientCommand::Attach(args) => return commands::attach(connection, args).await,
        ClientCommand::PortForward(args) => return commands::port_forward(connection, args).await,
        ClientCommand::Export(args) => return commands::export(connection, args).await,
        ClientCommand::Ps(args) => Ok(commands::print(commands::ps(connection, args).await?.as_bytes())?),
        ClientCommand::Images(args) => Ok(commands::print(commands::images(connection, args).await?.as_bytes())?),
        ClientCommand::Logs(args) => commands::logs(connection, args).await,
        ClientCommand::Cp(args) => commands::cp(connection, args).await,
        ClientCommand::Top(args) => commands::top(connection, args).await,
        ClientCommand::Down(args) => commands::down(connection, args).await,
        ClientCommand::Stop(args) => commands::stop(connection, args).await,
        ClientCommand::Rm(args) => commands::rm(connection, args).await,
        ClientCommand::Pull(args) => commands::pull(connection, args).await,
        ClientCommand::Rmi(args) => commands::rmi(connection, args).await,
        ClientCommand::Import(args) => commands::import(connection, args).await,
        ClientCommand::Pin(args) => commands::pin(connection, args, true).await,
        ClientCommand::Unpin(args) => commands::pin(connection, args, false).await,
        ClientCommand::Why(args) => Ok(commands::print(commands::why(connection, args).await?.as_bytes())?),
    };
    done.map(|()| 0)
}

/// Runs pods, and removes meanwhile what killed runs have left.
async fn run_beside_sweep(
    context: RunContext<'_>,
    wishes: Wishes<'_>,
    interrupt: &Interrupt,
) -> Result<u8, run::RunError> {
    let swept = std::pin::pin!(async {
        for problem in run::sweep(context.connection, &context.args.dir).await {
            context.console.note(problem).await;
        }
    });
    match select(swept, std::pin::pin!(run::run(context, wishes, interrupt))).await {
        Either::Left(((), running)) => running.await,
        Either::Right((status, swept)) => {
            // On a disk that hangs it is left to the next run.
            let _ = tokio::time::timeout(QUICK, swept).await;
            status
        }
    }
}

async fn run_pods(connect: &ConnectArgs, args: &RunArgs) -> anyhow::Result<u8> {
    let supervised = detach::supervised();
    // The manifests first: their mistakes need no runtime.
    let files = RunFiles::new(&args.files)?;
    if args.explain {
        commands::print(files.explain()?.as_bytes())?;
        return Ok(0);
    }
    ensure!(!args.watch || files.input().is_none(), "standard input can't be watched: write a file");
    let LoadedManifest { workloads, notes, objects } = files.read()?;
    let connection = start_daemon::connect(connect).await?;
    if args.detach && supervised.is_none() {
        let words: Vec<OsString> = std::env::args_os().skip(1).collect();
        return detach::start(&words, files.input(), &args.dir).await;
    }
    // Before anybody can find the run and ask it for something.
    let asked = RunRequests::listen()?;
    let interrupt = Interrupt::listen()?;
    let watch = if args.watch { Some(FileWatch::begin(files.paths())?) } else { None };
    let id = supervised.clone().map_or_else(detach::new_id, Ok).context("no random numbers for the run's id")?;
    let past = PastRun::look(&connection, (&args.dir, &id), &workloads).await?;
    let subjects = RunSubjects::new(&connection.endpoint, past.subjects.continued(&workloads));
    let options = RunOptions::of(args, supervised.is_some());
    let record = RunRecord::begin(&args.dir, &id, (files.identities(), subjects), options)
        .with_context(|| format!("cannot write into {}", args.dir.display()))?;
    let is_alone = matches!(workloads.as_slice(), [Workload::Pod(_)]) && !args.watch && !files.is_folder();
    let names = workloads.iter().map(|workload| workload.longest_name(is_alone));
    let width = names.max().unwrap_or_default();
    let (console, writer) = match &supervised {
        Some(_) => {
            detach::leave_session();
            Console::to(width, detach::outputs(&record)?)?
        }
        None => Console::start(width)?,
    };
    let names: Vec<String> = workloads.iter().map(ToString::to_string).collect();
    console.note(format!("running {} on {}", names.join(", "), connection.runtime_name)).await;
    for note in notes {
        console.note(note).await;
    }
    let wished = RunWishes { objects, left: BTreeSet::new() };
    let (sender, changes) = mpsc::channel(1);
    let wishes = Wishes { first: &workloads, past, changes };
    let context = RunContext { connection: &connection, args, console: &console, record: &record, is_alone };
    let status = tokio::select! {
        status = run_beside_sweep(context, wishes, &interrupt) => status,
        never = changes::follow(
            (&files, wished),
            &record,
            (asked, watch),
            sender,
        ) => match never {},
    };
    let status = match status {
        // Who waits for it hears nothing else.
        Err(error) if supervised.is_some() => {
            console.note(chain(&error)).await;
            Ok(OWN_FAILURE)
        }
        other => other,
    };
    drop(console);
    // Of lines that could not be written the console has told.
    let finish = move || {
        writer.finish();
    };
    match unless_signalled(finish).await {
        Some(signalled) => Ok(signalled),
        None => Ok(status?),
    }
}
