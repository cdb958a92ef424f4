//! A pod that the `peapod run` of an earlier process has left running: it is let run until it is to end.

use futures_util::future::Either;
use peapod_api::v1;

use super::RunError;
use super::asked::{StopAsked, StopLine};
use super::events::EventsOfPod;
use super::machine::{LifeOutcome, LifePhase, PodReport};
use super::off_thread::off_thread;
use super::patience::RuntimePatience;
use super::pod_dir::PodDir;
use super::supervise::RunOutcome;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::teardown;

/// Until it has ended, or is asked to; then nothing of it is left.
pub(super) async fn live(
    connection: &CriClient,
    pod: &v1::PodSandbox,
    asked: &StopLine,
    mut events: EventsOfPod,
) -> Result<RunOutcome, RunError> {
    tokio::select! {
        biased;
        _ = asked.beyond(StopAsked::No) => {}
        () = ended(connection, &pod.id, &mut events) => {}
    }
    let left = |what: String| RunError::Left(format!("{}: {what}", crate::select::pod_name(pod)));
    let mut patience = RuntimePatience::default();
    let errors = loop {
        let mut errors = {
            let stop = std::pin::pin!(stop(connection, pod));
            let at_once = std::pin::pin!(asked.beyond(StopAsked::Gracefully));
            match futures_util::future::select(stop, at_once).await {
                Either::Left((errors, _)) => errors,
                Either::Right(_) => teardown::stop(connection, &pod.id, 0).await,
            }
        };
        errors.extend(teardown::remove(connection, &pod.id).await);
        if !(errors.iter().any(CallError::is_unanswered) && patience.wait().await) {
            break errors;
        }
    };
    if !errors.is_empty() {
        return Err(left(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")));
    }
    if let Some(dir) = PodDir::of(pod) {
        off_thread(move || dir.remove()).await.and_then(|removed| removed).map_err(|error| left(error.to_string()))?;
    }
    let (phase, members) = (LifePhase::Failed, Vec::new());
    let report = PodReport { phase, reason: None, is_initialized: true, is_ready: false, members };
    Ok(RunOutcome { code: 0, outcome: LifeOutcome::Asked, report, tale: None })
}

/// Waits until the runtime says that it does not run.
async fn ended(connection: &CriClient, id: &str, events: &mut EventsOfPod) {
    loop {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let status = call("PodSandboxStatus", QUICK, connection.runtime.clone().pod_sandbox_status(request)).await;
        let runs = |answer: &v1::PodSandboxStatusResponse| {
            answer.status.as_ref().is_none_or(|status| status.state() == v1::PodSandboxState::SandboxReady)
        };
        match status {
            Ok(answer) if !runs(&answer) => return,
            Err(error) if error.is_not_found() => return,
            // A runtime that is away ends nothing.
            Ok(_) | Err(_) => {}
        }
        let patience = events.patience();
        // Neither: time is over, or something has changed.
        let _ = tokio::time::timeout(patience, events.changed()).await;
    }
}

/// Within its own grace, without hooks.
async fn stop(connection: &CriClient, pod: &v1::PodSandbox) -> Vec<CallError> {
    let _announced = PodDir::of(pod).map(|dir| dir.announce_stop());
    match teardown::own_grace(connection, &pod.id).await {
        Ok(grace) => teardown::stop(connection, &pod.id, grace).await,
        Err(error) => vec![error],
    }
}
