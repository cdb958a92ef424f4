//! A pod's shim: holds the pod's namespaces, runs the OCI runtime, reads what containers say, writes their logs, sees
//! and records their ends. One process per pod, one thread, no policy: its master says what to do.

mod args;
mod attributes;
mod bounds;
mod bundle;
mod cleanup;
mod clock;
mod container;
mod containers;
mod error;
mod events;
mod family;
mod files;
#[cfg(test)]
mod fuzz;
mod init;
mod keys;
mod log;
mod mount;
mod older;
mod proc;
mod read_only;
mod reaper;
mod root_container;
mod runtime;
mod sandbox;
mod serve;
mod server;
mod session;
mod settle;
mod shim;
mod stdio;
mod tasks;
mod users;

use std::io::Write;
use std::process::ExitCode;

use args::{Args, ShimCommand};
use peapod_shim_protocol::UNMAPPABLE;
use sandbox::MapOwnersError;

fn main() -> ExitCode {
    // Nothing is open yet but what the daemon was started with, or meant.
    peapod_sys::without_inherited_descriptors(run).unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "containerd-shim-peapod-v1: can't close inherited descriptors: {error}");
        ExitCode::FAILURE
    })
}

fn run() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| name == init::NAME) {
        return init::run();
    }
    let mut failure = ExitCode::FAILURE;
    let outcome = Args::parse(arguments).map_err(|error| error.to_string()).and_then(|args| match args.action {
        ShimCommand::Serve => serve::run(&args),
        ShimCommand::Delete => cleanup::run(&args),
        ShimCommand::MapOwners => sandbox::try_to_map_owners(&args.bundle).map_err(|error| {
            if matches!(error, MapOwnersError::FileSystem(_)) {
                failure = ExitCode::from(UNMAPPABLE);
            }
            error.to_string()
        }),
        ShimCommand::Version => say(concat!("containerd-shim-peapod-v1 ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        ShimCommand::Start => {
            Err("start: this shim is started by peapod's daemon, with its socket as standard input; \
             starting it from containerd is not supported yet"
                .to_owned())
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            log::error("shim ends", &[("reason", &text)]);
            let _ = writeln!(std::io::stderr(), "containerd-shim-peapod-v1: {text}");
            failure
        }
    }
}

fn say(bytes: &[u8]) -> Result<(), String> {
    std::io::stdout().write_all(bytes).map_err(|error| format!("can't write to standard output: {error}"))
}
