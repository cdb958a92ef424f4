//! The `peapod` binary: `serve` is the daemon, everything else its client. Under the name
//! [`peapod_streaming::server::SERVER_NAME`] it is the daemon's streaming server.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// Runs Kubernetes pods on one Linux machine.
#[derive(Parser)]
#[command(name = "peapod", version, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    connect: peapod_client::ConnectArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the Container Runtime Interface on a unix socket.
    Serve(peapod_daemon::ServeArgs),
    #[command(flatten)]
    Client(peapod_client::ClientCommand),
}

fn main() -> ExitCode {
    // The daemon alone starts it so, in a process of its own.
    if std::env::args_os().next().is_some_and(|name| name == peapod_streaming::server::SERVER_NAME) {
        return peapod_streaming::server::main();
    }
    run(Arguments::parse()).unwrap_or_else(|error| {
        // One line with its causes. Never a backtrace: what ends here was refused, not broken.
        let _ = writeln!(std::io::stderr(), "Error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.command {
        Command::Serve(_) if arguments.connect.endpoint.is_some() => {
            anyhow::bail!("`peapod serve` connects to nobody: use --socket to say where it listens")
        }
        Command::Serve(serve) => peapod_daemon::run(serve).map(|()| ExitCode::SUCCESS),
        Command::Client(command) => Ok(peapod_client::run(&arguments.connect, &command, Arguments::command)),
    }
}
