//! Changes of what a pod's own cgroup may have. They are carried out one after the other, as long as the group is
//! there; what the pod's client says of a group that it made, or that is gone, is recorded alone.

use std::sync::Arc;

use peapod_spec::pod::PodResources;
use peapod_spec::update_resources;

use super::action::{GroupChange, Job};
use super::effects::Effects;
use super::input::{Reply, Ticket};
use super::life::Life;
use super::pod::Pod;
use crate::bounds::UPDATES_WAITING;
use crate::error::Error;
use crate::record::PodPhase;

/// What there is of a pod's own group.
enum OwnGroup {
    Limited(String),
    /// It is being removed.
    Going,
    /// There is none, or nobody knows: without a shim nothing runs in it any more, and a stop that came to nothing, or
    /// a reboot, may have removed it.
    None,
}

fn own_group<S>(pod: &Pod<S>) -> OwnGroup {
    match (&pod.life, pod.identity.cgroup.own()) {
        (Life::Up(_) | Life::Foreign { .. }, Some(path)) => OwnGroup::Limited(path.to_owned()),
        (Life::Releasing, Some(_)) => OwnGroup::Going,
        _ => OwnGroup::None,
    }
}

pub(super) fn request<S>(pod: &mut Pod<S>, ticket: Ticket, told: PodResources, fx: &mut Effects<S>) {
    let is_first = pod.updates.under_way.is_none() && pod.updates.waiting.is_empty();
    // Behind those that came before, whose end would take it back.
    if is_first && matches!(own_group(pod), OwnGroup::None) {
        return record(pod, ticket, told, fx);
    }
    pod.run.build_on();
    let waiting = pod.updates.waiting.len();
    // One is being carried out.
    if waiting + 1 >= UPDATES_WAITING {
        let state = format!("being updated, and {waiting} further updates wait");
        let need = "a further one needs them to be through: wait for them";
        let id = pod.id().to_string();
        return fx.refuse(ticket, Error::Precondition { what: "pod sandbox", id, state, need });
    }
    pod.updates.waiting.push_back((ticket, told));
}

/// The next one that waits. False if none can go on.
pub(super) fn advance<S>(pod: &mut Pod<S>, fx: &mut Effects<S>) -> bool {
    let group = own_group(pod);
    if pod.updates.under_way.is_some() || matches!(group, OwnGroup::Going) {
        return false;
    }
    let Some((ticket, told)) = pod.updates.waiting.pop_front() else { return false };
    let (OwnGroup::Limited(group), Some(change)) = (group, &told.resources) else {
        record(pod, ticket, told, fx);
        return true;
    };
    let before = pod.spec.resources.clone().unwrap_or_default();
    match update_resources(&before, change) {
        Ok(after) => {
            pod.updates.under_way = Some((ticket, PodResources { resources: Some(after.clone()), ..told }));
            fx.run(Job::LimitGroup(Box::new(GroupChange { group, before, after })));
        }
        Err(error) => {
            fx.refuse(ticket, Error::Invalid { field: "resources".to_owned(), reason: error.to_string() });
        }
    }
    true
}

/// The limits are in force, or those of before are.
pub(super) fn limited<S>(pod: &mut Pod<S>, outcome: Result<(), Error>, fx: &mut Effects<S>) {
    let Some((ticket, told)) = pod.updates.under_way.take() else { return };
    match outcome {
        Ok(()) => record(pod, ticket, told, fx),
        Err(error) => fx.refuse(ticket, error),
    }
}

/// Records and shows it.
fn record<S>(pod: &mut Pod<S>, ticket: Ticket, told: PodResources, fx: &mut Effects<S>) {
    match (pod.life.phase(), &pod.life) {
        (Some(PodPhase::Setup), _) | (_, Life::Failed(_)) => fx.refuse(ticket, Error::no_pod(pod.id().as_str())),
        (None, _) => fx.refuse(ticket, pod.not_ready("resources are only recorded of one that is there")),
        (Some(PodPhase::Ready | PodPhase::Broken | PodPhase::Stopped), _) => {
            pod.run.build_on();
            let spec = Arc::make_mut(&mut pod.spec);
            spec.overhead = told.overhead.or(spec.overhead.take());
            spec.resources = told.resources.or(spec.resources.take());
            fx.outbox.pod();
            fx.promise(ticket, Reply::Done);
        }
    }
}
