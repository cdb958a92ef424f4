//! The process that speaks with the clients of exec, attach and port-forward. It reads what strangers send, so it has
//! nothing but sockets and the ends of streams ([`sandbox`]); and it outlives the daemon, and sessions with it.
//!
//! The daemon says which sessions there are to be ([`registry`]). A client is greeted ([`greet`], [`upgrade`]) and then
//! has streams, whatever it speaks ([`client`]). A shim hands over the other ends of these ([`link`]); [`command`] and
//! [`forward`] move bytes between the two.

mod accept;
mod client;
mod command;
mod command_table;
mod control;
mod descriptor;
mod forward;
mod greet;
mod hello;
mod link;
mod pairs;
mod readiness;
mod registry;
mod sandbox;
mod silence;
mod sinks;
mod sources;
mod tls;
mod tokens;
mod upgrade;

use std::io;
use std::process::ExitCode;

pub use peapod_streaming_protocol::SERVER_NAME;
use peapod_streaming_protocol::{ServerEnd, ToDaemon};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use self::tls::Tls;

/// Serves until the daemon is gone and the last session is over. The control socket is the standard input.
#[must_use]
pub fn main() -> ExitCode {
    peapod_sys::keep_no_large_memory();
    let served = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run()));
    // There is nobody to say more to: the standard streams lead nowhere.
    if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run() -> io::Result<()> {
    let daemon = ServerEnd::from_descriptor(rustix::stdio::stdin().try_clone_to_owned()?)?;
    match confine() {
        Ok(tls) => control::serve(daemon, tls).await,
        Err(text) => daemon.send(&ToDaemon::Failed { text }, &[]).await,
    }
}

fn confine() -> Result<Tls, String> {
    let tls = Tls::load().map_err(|error| error.to_string())?;
    let null = std::fs::File::open("/dev/null").map_err(|error| format!("/dev/null: {error}"))?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| format!("/dev/null as standard input: {error}"))?;
    drop(null);
    sandbox::enter().and_then(|()| sandbox::seal()).map_err(|error| error.to_string())?;
    Ok(tls)
}
