//! How commands end what they have found: pods, those that are being made, and the runs that would make others.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use peapod_api::v1;

use crate::connect::{CriClient, QUICK};
use crate::run::{self, PodDir};
use crate::runs::{self, KnownRun, LeaveRequest};
use crate::targets::{self, FoundPods, FoundRun, Whole};
use crate::teardown::{self, GRACE};
use crate::{labels, select};

/// Between two looks whether a run has heard.
const POLL: Duration = Duration::from_millis(20);
/// How often what a run has begun before it heard is looked for.
const ROUNDS: usize = 3;

/// Has runs start nothing again of what was found, then ends the pods by `end`, also those that are made meanwhile and
/// for which `is_one` holds. Answers what went wrong.
pub(super) async fn end_all(
    connection: &CriClient,
    found: &FoundPods,
    grace: Option<u32>,
    is_one: impl Fn(&v1::PodSandbox) -> bool,
    end: impl AsyncFn(v1::PodSandbox) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<String>> {
    let mut errors = let_go(&found.runs).await;
    let mut named = (found.pods.clone(), found.being_made.clone());
    let mut is_told = !named.0.is_empty() || !named.1.is_empty();
    for round in 0..ROUNDS {
        let ended = futures_util::future::join_all(named.0.iter().cloned().map(|pod| end(pod)));
        let (ended, ()) = tokio::join!(ended, end_being_made(&named.1, grace));
        let failed: Vec<_> =
            ended.into_iter().filter_map(|ended| Some(peapod_text::chain(ended.err()?.as_ref()))).collect();
        let has_failed = !failed.is_empty();
        errors.extend(failed);
        for run in found.runs.iter().filter(|run| run.is_whole) {
            runs::ended(&run.base, &run.known.id).await;
        }
        if has_failed || found.runs.is_empty() || round + 1 == ROUNDS {
            break;
        }
        // Begun before the run had heard.
        let whole = Whole::look(connection).await?;
        let late = |pod: &v1::PodSandbox| found.runs.iter().any(|run| run.has(pod));
        let (being_made, pods): (Vec<_>, Vec<_>) =
            whole.pods.into_iter().filter(late).partition(|pod| pod.id.is_empty());
        named = (pods.into_iter().filter(|pod| is_one(pod)).collect(), being_made);
        if named.0.is_empty() && named.1.is_empty() {
            break;
        }
        is_told = true;
    }
    if !is_told {
        tell(&found.runs)?;
    }
    Ok(errors)
}

/// Says what of runs was ended before there was a pod.
fn tell(runs: &[FoundRun]) -> anyhow::Result<()> {
    for run in runs {
        for workload in &run.wanted {
            super::print(format!("{workload}\n").as_bytes())?;
        }
    }
    Ok(())
}

/// So that runs start none of them again, and wait for no change of a file.
async fn let_go(runs: &[FoundRun]) -> Vec<String> {
    let mut errors = Vec::new();
    for FoundRun { base, known, wanted, is_whole } in runs {
        let lives = || runs::known(base, &known.id).is_some_and(|run| run.lives);
        if !lives() {
            continue;
        }
        if *is_whole {
            // It may have ended this moment.
            let _ = kill(Pid::from_raw(known.pid), Signal::SIGTERM);
            continue;
        }
        let wanted: Vec<_> = wanted.iter().cloned().collect();
        let asked = LeaveRequest::write(base, &known.id, &wanted);
        match asked {
            Ok(request) => {
                let _ = kill(Pid::from_raw(known.pid), Signal::SIGUSR2);
                let begun = Instant::now();
                while !request.is_answered() && lives() && begun.elapsed() < QUICK {
                    tokio::time::sleep(POLL).await;
                }
                if !request.is_answered() && lives() {
                    errors.push(format!("process {}, which looks after these pods, does not answer", known.pid));
                }
            }
            Err(error) if lives() => errors.push(format!("cannot ask process {}: {error}", known.pid)),
            Err(_) => {}
        }
    }
    errors
}

/// Calls off what no runtime has yet; what it gets meanwhile is stopped.
async fn end_being_made(being_made: &[v1::PodSandbox], grace: Option<u32>) {
    let each = being_made.iter().map(|pod| async move {
        run::ask_to_stop(pod, grace.unwrap_or(GRACE)).await;
    });
    futures_util::future::join_all(each).await;
    for pod in being_made {
        // That nobody reads it is no error of the stop.
        let _ = super::print(format!("{}\n", select::pod_name(pod)).as_bytes());
    }
}

/// Stops one, within the grace that is asked for, or its own.
pub(super) async fn stop(connection: &CriClient, pod: &v1::PodSandbox, grace: Option<u32>) -> anyhow::Result<()> {
    let grace = match grace {
        Some(grace) => grace,
        None => teardown::own_grace(connection, &pod.id).await?,
    };
    run::ask_to_stop(pod, grace).await;
    // What is there still nobody stops but this process.
    let _announced = PodDir::of(pod).map(|dir| dir.announce_stop());
    super::all_of(&select::pod_name(pod), &teardown::stop(connection, &pod.id, grace).await)
}

/// Says of pods of many that others come in their place.
pub(super) fn warn_of_new_ones(found: &FoundPods) -> anyhow::Result<()> {
    let makers: BTreeSet<_> = found
        .pods
        .iter()
        .filter(|pod| targets::is_ready(pod) && !found.runs.iter().any(|run| run.has(pod)))
        .filter(|pod| pod.annotations.contains_key(labels::WORKLOAD) && looked_after(pod).is_some())
        .map(targets::workload_of)
        .collect();
    for maker in makers {
        let name = maker.word();
        super::note(&format!(
            "peapod: {maker} makes another pod in its place; `peapod down {name}` ends it with all\n"
        ))?;
    }
    Ok(())
}

fn looked_after(pod: &v1::PodSandbox) -> Option<KnownRun> {
    let (base, id): (PathBuf, String) = targets::run_of(pod)?;
    runs::known(&base, &id).filter(|run| run.lives)
}
