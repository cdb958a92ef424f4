//! What can go on: the one place that decides what comes next, from what is and what is wanted.

use super::action::{Action, Job};
use super::advance_container;
use super::containers::PodContainers;
use super::effects::Effects;
use super::group_updates;
use super::input::Reply;
use super::life::{CleanUp, Kill, Life, Sandbox, Up, Watch};
use super::pod::Pod;
use crate::error::Error;

/// One step of the pod, or of one of its containers. False when nothing can go on.
pub(super) fn advance<S: Clone>(pod: &mut Pod<S>, containers: &mut PodContainers, fx: &mut Effects<S>) -> bool {
    advance_pod(pod, containers, fx) || group_updates::advance(pod, fx) || advance_container::any(pod, containers, fx)
}

fn advance_pod<S: Clone>(pod: &mut Pod<S>, containers: &mut PodContainers, fx: &mut Effects<S>) -> bool {
    let recorded = fx.outbox.is_over(pod.recorded);
    match &pod.life {
        Life::Intended if recorded => {
            fx.reached("pod-intent");
            fx.run(Job::SetUp);
            pod.life = Life::SettingUp;
            true
        }
        Life::Failed(_) if recorded => set_up_is_over(pod, fx),
        // Whatever became of it meanwhile: it exists.
        life if recorded && pod.run.is_due() && life.is_made() => {
            fx.reached("pod-ready");
            tracing::info!(ips = ?pod.network.ips, "pod ready");
            fx.answer_all(pod.run.succeed(), &Ok(Reply::Done));
            true
        }
        Life::Stopped if recorded && pod.stop.is_some() => {
            fx.reached("pod-stopped");
            fx.answer_all(pod.stop.take().unwrap_or_default(), &Ok(Reply::Done));
            tracing::info!("pod stopped");
            true
        }
        Life::Stopped if pod.removal.is_some() && pod.stop.is_none() => remove(pod, containers, fx),
        Life::Gone if recorded => {
            fx.reached("pod-gone");
            fx.answer_all(pod.removal.take().unwrap_or_default(), &Ok(Reply::Done));
            pod.end(fx);
            true
        }
        life if pod.removal.is_some() && pod.stop.is_none() && life.can_stop() => {
            pod.want_stop(!containers.made_are_quiet());
            true
        }
        Life::Up(_) => watch_and_kill(pod, fx) || stop(pod, containers, fx),
        Life::Lost(_) => clean_up(pod, containers, fx) || stop(pod, containers, fx),
        Life::Foreign { .. } if pod.stop.is_some() => {
            pod.life = Life::Lost(if containers.are_quiet() { CleanUp::Done } else { CleanUp::Due });
            pod.life_changed(fx);
            true
        }
        _ => false,
    }
}

/// Nothing of the pod is left: who waits for anything hears so.
fn set_up_is_over<S: Clone>(pod: &mut Pod<S>, fx: &mut Effects<S>) -> bool {
    let Life::Failed(error) = std::mem::replace(&mut pod.life, Life::Over) else { return false };
    tracing::warn!(%error, "pod could not be made");
    fx.answer_all(pod.run.fail(), &Err(error));
    let gone = Err(Error::no_pod(pod.id().as_str()));
    for tickets in [pod.stop.take(), pod.removal.take()].into_iter().flatten() {
        fx.answer_all(tickets, &gone);
    }
    pod.end(fx);
    true
}

/// What is done with a shim that lives: it is asked for events, and has to kill everything.
fn watch_and_kill<S: Clone>(pod: &mut Pod<S>, fx: &mut Effects<S>) -> bool {
    let Life::Up(Up { shim, sandbox, watch, .. }) = &mut pod.life else { return false };
    if let Watch::Due(mark) = *watch
        && fx.outbox.is_over(mark)
    {
        fx.run(Job::Watch { shim: shim.clone(), after: pod.last_event });
        *watch = Watch::Running;
        for id in std::mem::take(&mut pod.strays) {
            fx.run(Job::EndStray { shim: shim.clone(), id });
        }
        return true;
    }
    *sandbox = match *sandbox {
        Sandbox::Ready if pod.stop.is_some() => Sandbox::Stopping,
        Sandbox::Broken(Kill::Due) => Sandbox::Broken(Kill::Running),
        _ => return false,
    };
    fx.run(Job::Kill { shim: shim.clone() });
    true
}

/// What a shim left that is gone.
fn clean_up<S>(pod: &mut Pod<S>, containers: &PodContainers, fx: &mut Effects<S>) -> bool {
    if !matches!(pod.life, Life::Lost(CleanUp::Due)) {
        return false;
    }
    let Some(job) = containers.clean_up() else { return false };
    fx.run(job);
    pod.life = Life::Lost(CleanUp::Running);
    true
}

/// Everything is killed: when nothing of a container is being done any more, and all of it is on disk, shim and network
/// are given back. The shim keeps its events until they are recorded, so it ends only then.
fn stop<S>(pod: &mut Pod<S>, containers: &mut PodContainers, fx: &mut Effects<S>) -> bool {
    if pod.stop.is_none() || !pod.life.is_drained() {
        return false;
    }
    if containers.abandon_creates(pod.id(), fx) {
        return true;
    }
    if !containers.are_quiet() || pod.updates.under_way.is_some() || !fx.outbox.is_idle() {
        return false;
    }
    let shim = match std::mem::replace(&mut pod.life, Life::Releasing) {
        Life::Up(up) => Some(up.shim),
        _ => None,
    };
    fx.push(Action::Expose(None));
    fx.run(Job::Release { shim, attached: pod.network.attached });
    true
}

/// Containers, then files, then the record.
fn remove<S>(pod: &mut Pod<S>, containers: &mut PodContainers, fx: &mut Effects<S>) -> bool {
    if containers.by_id.is_empty() {
        fx.run(Job::RemoveFiles);
        pod.life = Life::RemovingFiles;
        return true;
    }
    containers.remove_all()
}
