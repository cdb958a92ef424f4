//! The same for containers.

use std::sync::Arc;

use super::action::{Action, Job, Start, Update};
use super::container::{Body, CleaningUp, Container, Made, NEEDS_LIFE, Operation};
use super::containers::PodContainers;
use super::effects::Effects;
use super::input::{JobError, Reply};
use super::life::{CleanUp, Life, Sandbox, Up};
use super::pod::Pod;
use crate::container::{UpdateAttempt, invalid};
use crate::error::Error;
use crate::id::ContainerId;
use crate::record::ContainerPhase;

/// One step of any container. False when nothing can go on.
pub(super) fn any<S: Clone>(pod: &mut Pod<S>, containers: &mut PodContainers, fx: &mut Effects<S>) -> bool {
    for (id, container) in &mut containers.by_id {
        if advance(pod, id, container, fx) {
            return true;
        }
    }
    containers.by_id.iter_mut().any(|(id, container)| start_without_shim(id, container, fx))
        || containers.forget_removed(fx)
}

/// Its start was recorded, and then there was no shim to start it.
fn start_without_shim<S>(id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let waits = container.made().is_some_and(|made| {
        matches!(made.operation, Operation::StartRecorded { .. }) && fx.outbox.is_over(made.recorded)
    });
    if waits {
        container.started(id, Err(JobError::Gone("the pod's shim is gone".to_owned())), fx);
    }
    waits
}

/// One step of a container. False when nothing can go on.
fn advance<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let Body::Made(made) = &container.body else { return false };
    let recorded = fx.outbox.is_over(made.recorded);
    if recorded && container.create.is_due() {
        fx.reached("container-recorded");
        let created = Ok(Reply::Created(id.clone()));
        fx.answer_all(container.create.succeed(), &created);
        return true;
    }
    (recorded && (told(container, fx) || start(pod, id, container, fx)))
        || stop(pod, id, container, fx)
        || (recorded && clean_up(pod, id, container, fx))
        || carry_out_update(pod, id, container, fx)
        || update(pod, id, container, fx)
        || remove(pod, id, container, fx)
}

/// What came of a start, and an end, are told once they are recorded.
fn told<S>(container: &mut Container, fx: &mut Effects<S>) -> bool {
    let Body::Made(made) = &mut container.body else { return false };
    if let Operation::Started(result) = &mut made.operation {
        fx.reached("start-running");
        let result = std::mem::replace(result, Ok(()));
        let tickets = if result.is_ok() { container.start.succeed() } else { container.start.fail() };
        fx.answer_all(tickets, &result.map(|()| Reply::Done));
        made.rest();
        return true;
    }
    if made.has_ended() && !container.stops.is_empty() {
        fx.reached("exit-recorded");
        fx.answer_all(std::mem::take(&mut container.stops), &Ok(Reply::Done));
        return true;
    }
    false
}

/// Before a record leads to it, nothing of it is made.
fn start<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let (Body::Made(made), Some(up)) = (&mut container.body, pod.life.up()) else { return false };
    let Operation::StartRecorded { target } = made.operation else { return false };
    fx.reached("start-recorded");
    made.sent_deadline = wanted_stop(pod, made, fx);
    made.operation = Operation::Starting { early_exit: None };
    fx.run(Job::Start(Box::new(Start {
        shim: up.shim.clone(),
        id: id.clone(),
        spec: Arc::clone(&container.spec),
        record: made.record.clone(),
        namespaces: up.namespaces.clone(),
        target,
        stopped: made.sent_deadline,
    })));
    true
}

/// The deadline of a container's stop: the pod's ends it now.
fn wanted_stop<S>(pod: &Pod<S>, made: &Made, fx: &Effects<S>) -> Option<i64> {
    let is_ending = pod.stop.is_some() || pod.life.up().is_none_or(|up| up.sandbox != Sandbox::Ready);
    if is_ending { Some(made.sent_deadline.unwrap_or(fx.now.boottime)) } else { made.record.stop_deadline }
}

/// A removal stops what lives, and a stop is told to whoever starts or runs it.
fn stop<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let live = container.is_live();
    let Body::Made(made) = &mut container.body else { return false };
    if live && container.removal.is_some() && made.record.stop_deadline.is_none_or(|known| known > fx.now.boottime) {
        made.record.stop_deadline = Some(fx.now.boottime);
        fx.outbox.container(id);
    }
    let Some(Up { shim, .. }) = pod.life.up() else { return false };
    let starting = matches!(made.operation, Operation::Starting { .. });
    let wanted = if starting { wanted_stop(pod, made, fx) } else { made.record.stop_deadline };
    let Some(deadline) = wanted.filter(|deadline| made.sent_deadline.is_none_or(|told| *deadline < told)) else {
        return false;
    };
    match made.record.phase {
        ContainerPhase::Starting if starting => fx.push(Action::Override(id.clone(), deadline)),
        ContainerPhase::Running { .. } => {
            let signal = u32::try_from(made.record.stop_signal).unwrap_or(15);
            fx.run(Job::Stop { shim: shim.clone(), id: id.clone(), signal, deadline });
        }
        _ => return false,
    }
    made.sent_deadline = Some(deadline);
    true
}

/// What an ended container held is given back: by its shim, or by the clean-up after that.
fn clean_up<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let Body::Made(made) = &mut container.body else { return false };
    let Operation::CleaningUp(state) = &mut made.operation else { return false };
    match &pod.life {
        Life::Up(up) if *state == CleaningUp::Due => {
            fx.reached("exit-recorded");
            fx.run(Job::Delete { shim: up.shim.clone(), id: id.clone() });
            *state = CleaningUp::Running;
        }
        Life::Lost(CleanUp::Done) if *state != CleaningUp::Running => {
            made.record.needs_cleanup = false;
            made.operation = Operation::None;
            fx.outbox.container(id);
        }
        _ => return false,
    }
    true
}

/// Before a record tells of it, no limit is changed: a daemon that dies meanwhile would leave others in force than are
/// shown. What an earlier one left so is carried out again.
fn carry_out_update<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let Body::Made(made) = &mut container.body else { return false };
    let recorded = fx.outbox.is_over(made.recorded);
    let (ticket, after) = match (&made.operation, &made.record.phase, pod.life.up()) {
        (Operation::UpdateRecorded { .. }, ContainerPhase::Running { .. }, Some(_)) if !recorded => return false,
        (Operation::UpdateRecorded { ticket, after }, ..) => (Some(*ticket), after.clone()),
        (Operation::None, ContainerPhase::Running { updating: Some(after), .. }, Some(_)) => (None, after.clone()),
        _ => return false,
    };
    match (&made.record.phase, pod.life.up(), ticket) {
        (ContainerPhase::Running { .. }, Some(up), _) => {
            fx.reached("update-recorded");
            fx.run(Job::Update(Box::new(Update {
                shim: up.shim.clone(),
                id: id.clone(),
                cgroup: made.record.cgroup.clone(),
                before: container.spec.resources.clone(),
                after: (*after).clone(),
                attempt: if ticket.is_some() { UpdateAttempt::First } else { UpdateAttempt::Again },
            })));
            made.operation = Operation::Updating { ticket, after };
        }
        (phase, _, Some(ticket)) => {
            let runs = matches!(phase, ContainerPhase::Running { .. });
            made.end_update();
            fx.outbox.container(id);
            let error = if runs { not_ready(pod) } else { container.precondition(id, NEEDS_LIFE) };
            fx.refuse(ticket, error);
        }
        _ => return false,
    }
    true
}

fn not_ready<S>(pod: &Pod<S>) -> Error {
    pod.not_ready("limits of its containers can only be changed while it is")
}

/// One change after the other: each builds on what the one before has made of the limits.
fn update<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    let Body::Made(made) = &mut container.body else { return false };
    let Some((ticket, change)) = container.updates.front() else { return false };
    let (ticket, before) = (*ticket, &container.spec.resources);
    match (&made.record.phase, pod.life.up()) {
        (ContainerPhase::Created, _) if made.is_idle() => {
            // It begins with them.
            match peapod_spec::update_resources(before, change) {
                Ok(after) => {
                    Arc::make_mut(&mut container.spec).resources = after;
                    fx.outbox.container(id);
                    fx.promise(ticket, Reply::Done);
                }
                Err(error) => fx.refuse(ticket, invalid(&error)),
            }
        }
        (ContainerPhase::Running { .. }, Some(_)) if made.is_idle() => {
            match peapod_spec::update_resources(before, change) {
                Ok(after) => {
                    made.begin_update(ticket, Box::new(after));
                    made.recorded = fx.outbox.container(id);
                }
                Err(error) => fx.refuse(ticket, invalid(&error)),
            }
        }
        (ContainerPhase::Created, _) | (ContainerPhase::Running { .. }, Some(_))
            if !matches!(made.operation, Operation::Removed) =>
        {
            return false;
        }
        (ContainerPhase::Running { .. }, None) => {
            fx.refuse(ticket, not_ready(pod));
        }
        _ => fx.refuse(ticket, container.precondition(id, NEEDS_LIFE)),
    }
    container.updates.pop_front();
    true
}

fn remove<S: Clone>(pod: &Pod<S>, id: &ContainerId, container: &mut Container, fx: &mut Effects<S>) -> bool {
    if container.removal.is_none() || container.is_live() {
        return false;
    }
    let Body::Made(made) = &mut container.body else { return false };
    let shim = match (&made.operation, &pod.life) {
        (Operation::None, _) => None,
        (Operation::CleaningUp(CleaningUp::Failed), Life::Up(up)) => Some(up.shim.clone()),
        // By the clean-up that goes with the pod's stop.
        (Operation::CleaningUp(CleaningUp::Due | CleaningUp::Failed), Life::Foreign { .. }) => None,
        _ => return false,
    };
    fx.run(Job::Remove { shim, id: id.clone() });
    made.operation = Operation::Removing;
    true
}
