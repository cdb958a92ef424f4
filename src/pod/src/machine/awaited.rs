//! What a call waits for, so that one which takes long can say it.

use peapod_trace::StageKind;

use super::Machine;
use super::action::JobKey;
use super::input::Ticket;
use crate::id::ContainerId;
use crate::stages;

/// What a call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The pod of an earlier daemon, to be recovered.
    Recovery,
    /// What was decided, to be on disk.
    Record,
    /// The pod's making.
    SetUp,
    /// The pod's stop or removal, with all that is done to its containers.
    PodEnd,
    /// What is done to that container.
    Container(ContainerId),
}

impl Awaited {
    /// Whether a job is part of it.
    pub(crate) fn includes(&self, job: &JobKey) -> bool {
        match self {
            Self::Recovery => matches!(job, JobKey::Reconnect | JobKey::TakeBack),
            Self::Record => false,
            Self::SetUp => *job == JobKey::SetUp,
            Self::PodEnd => !matches!(job, JobKey::Watch | JobKey::EndStray | JobKey::Discard(_)),
            Self::Container(id) => job.container() == Some(id),
        }
    }

    /// The stage of a call that waits for it, while no job is under way for it.
    pub(crate) fn stage(&self, is_recorded: bool) -> &'static StageKind {
        match self {
            Self::PodEnd if is_recorded => &stages::CONTAINERS,
            Self::Container(_) if is_recorded => &stages::PROCESSES,
            Self::Recovery if is_recorded => &stages::RECOVERY,
            _ => &stages::RECORD,
        }
    }
}

impl<S> Machine<S> {
    /// What a call waits for; none if it is answered.
    pub(crate) fn awaited(&self, ticket: Ticket) -> Option<Awaited> {
        let Self { pod, containers, admission, fx } = self;
        if admission.is_deferred(ticket) {
            return Some(Awaited::Recovery);
        }
        if pod.run.is_for(ticket) {
            return Some(Awaited::SetUp);
        }
        if [&pod.stop, &pod.removal].into_iter().flatten().any(|tickets| tickets.contains(&ticket)) {
            return Some(Awaited::PodEnd);
        }
        let container = containers.by_id.iter().find(|(_, container)| container.is_awaited_by(ticket));
        let container = container.map(|(id, _)| Awaited::Container(id.clone()));
        container.or_else(|| fx.holds(ticket).then_some(Awaited::Record))
    }
}
