//! What a call waits for, so that one which takes long can say it.

use std::collections::BTreeMap;

use peapod_trace::StageKind;

use super::Machine;
use super::action::JobKey;
use super::input::Ticket;
use crate::id::ContainerId;
use crate::stages;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaited<'m> {
    /// The pod of an earlier daemon, to be recovered.
    Recovery,
    /// What was decided, to be on disk.
    Record,
    /// The pod's making.
    SetUp,
    /// The pod's stop or removal, with all that is done to its containers.
    PodEnd,
    /// The limits of its own cgroup to be set.
    Limits,
    /// What is done to that container.
    Container(&'m ContainerId),
}

impl Awaited<'_> {
    /// Whether a job is part of it.
    pub(crate) fn includes(&self, job: &JobKey) -> bool {
        match self {
            Self::Recovery => matches!(job, JobKey::Reconnect | JobKey::TakeBack),
            Self::Record => false,
            Self::SetUp => *job == JobKey::SetUp,
            Self::Limits => *job == JobKey::LimitGroup,
            Self::PodEnd => !matches!(job, JobKey::Watch | JobKey::EndStray | JobKey::Discard(_)),
            Self::Container(id) => job.container() == Some(*id),
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
    /// What each call waits for that is not answered.
    pub(crate) fn awaited(&self) -> BTreeMap<Ticket, Awaited<'_>> {
        let Self { pod, containers, admission, fx } = self;
        let calls = admission.deferred().map(|ticket| (ticket, Awaited::Recovery));
        let calls = calls.chain(pod.run.tickets().map(|ticket| (ticket, Awaited::SetUp)));
        let ends = [&pod.stop, &pod.removal].into_iter().flatten().flatten();
        let calls = calls.chain(ends.map(|ticket| (*ticket, Awaited::PodEnd)));
        let calls = calls.chain(
            containers
                .by_id
                .iter()
                .flat_map(|(id, container)| container.tickets().map(move |ticket| (ticket, Awaited::Container(id)))),
        );
        let calls = calls.chain(pod.updates.tickets().map(|ticket| (ticket, Awaited::Limits)));
        let calls = calls.chain(fx.held().map(|ticket| (ticket, Awaited::Record)));
        // Who waits for two things waits for the first.
        calls.fold(BTreeMap::new(), |mut all, (ticket, awaited)| {
            all.entry(ticket).or_insert(awaited);
            all
        })
    }
}
