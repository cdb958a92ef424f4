//! Every command but `run`, one file each.

mod attach;
mod exec;
mod images;
mod logs;
mod port_forward;
mod ps;
mod pull;
mod rm;
mod rmi;
mod stop;
mod why;

use std::io::{self, Write};

pub(crate) use attach::attach;
pub(crate) use exec::exec;
pub(crate) use images::images;
pub(crate) use logs::logs;
pub(crate) use port_forward::port_forward;
pub(crate) use ps::ps;
pub(crate) use pull::pull;
pub(crate) use rm::rm;
pub(crate) use rmi::rmi;
pub(crate) use stop::stop;
pub(crate) use why::why;

use crate::connect::CallError;

/// Prints the result of a command. That nobody reads it is no error.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    ignore_closed(io::stdout().lock().write_all(text))
}

/// A list for programs.
fn json(list: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(list)?))
}

fn ignore_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// One error of all that went wrong with one thing.
fn all_of(what: &str, errors: &[CallError]) -> anyhow::Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::bail!("{what}: {}", texts.join("; "))
}

/// Does the same with each of several things, and goes on after an error; the errors are said together.
async fn each<'a, F: Future<Output = anyhow::Result<()>>>(
    things: &'a [String],
    mut work: impl FnMut(&'a str) -> F,
) -> anyhow::Result<()> {
    let mut errors = Vec::new();
    for thing in things {
        errors.extend(work(thing).await.err().map(|error| format!("{error:#}")));
    }
    anyhow::ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}
