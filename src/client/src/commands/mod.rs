//! Every command but `run`, one file each.

mod apply;
mod attach;
mod check;
mod cp;
mod down;
mod ending;
mod exec;
mod export;
mod images;
mod import;
mod logs;
mod outside;
mod pin;
mod pod_state;
mod port_forward;
mod ps;
mod pull;
mod rm;
mod rmi;
mod stop;
mod systemd;
mod top;
mod why;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use tokio::time::timeout;

pub(crate) use apply::apply;
pub(crate) use attach::attach;
pub(crate) use check::check;
pub(crate) use cp::cp;
pub(crate) use down::down;
pub(crate) use exec::exec;
pub(crate) use export::export;
pub(crate) use images::images;
pub(crate) use import::import;
pub(crate) use logs::logs;
pub(crate) use outside::{completions, man};
pub(crate) use pin::pin;
pub(crate) use port_forward::port_forward;
pub(crate) use ps::ps;
use pull::password;
pub(crate) use pull::pull;
pub(crate) use rm::rm;
pub(crate) use rmi::rmi;
pub(crate) use stop::stop;
pub(crate) use systemd::systemd;
pub(crate) use top::top;
pub(crate) use why::why;

use crate::connect::{CallError, CriClient, QUICK};
use crate::targets::FoundPods;
use crate::{cli, run, targets};

/// Prints the result of a command. That nobody reads it is no error.
pub(crate) fn print(text: &[u8]) -> io::Result<()> {
    ignore_closed(io::stdout().lock().write_all(text))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
}

/// An error of peapod's own service: other runtimes lack it, and have another way.
fn own_service(connection: &CriClient, error: CallError, what: &str, instead: &str) -> anyhow::Error {
    if error.is_unimplemented() {
        let runtime = &connection.runtime_name;
        return anyhow::anyhow!("{runtime} can't {what} over its socket: CRI has no call for it. {instead}");
    }
    error.into()
}

/// Tells something beside the result of a command. That nobody reads it is no error.
pub(crate) fn note(text: &str) -> io::Result<()> {
    ignore_closed(io::stderr().lock().write_all(text.as_bytes()))
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

/// Where runs of what was found keep things, and where others do by default. To be asked while the pods are there.
fn bases(found: &FoundPods) -> BTreeSet<PathBuf> {
    let of_pods = found.pods.iter().filter_map(targets::run_of).map(|(base, _)| base);
    let of_runs = found.runs.iter().map(|run| run.base.clone());
    of_pods.chain(of_runs).chain([cli::run_dir()]).collect()
}

/// Removes what killed runs have left there. What can't be removed is said; what takes long is left to the next
/// command.
async fn sweep(connection: &CriClient, bases: BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for base in bases {
        for problem in timeout(QUICK, run::sweep(connection, &base)).await.unwrap_or_default() {
            note(&format!("peapod: {problem}\n"))?;
        }
    }
    Ok(())
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
        errors.extend(work(thing).await.err().map(|error| peapod_text::chain(error.as_ref())));
    }
    anyhow::ensure!(errors.is_empty(), "{}", errors.join("\npeapod: "));
    Ok(())
}
