//! A container: what is recorded of it, and what is being done to it.

use std::collections::VecDeque;
use std::sync::Arc;

use peapod_spec::container::{ContainerSpec, Resources};

use super::delivery::{Delivery, Stage};
use super::input::Ticket;
use super::outbox::CommitNumber;
use crate::container::ExecBase;
use crate::error::Error;
use crate::id::ContainerId;
use crate::listed::Share;
use crate::record::{ContainerPhase, ContainerRecord, Ended};

/// A container of a pod.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) spec: Arc<ContainerSpec>,
    pub(crate) body: Body,
    pub(crate) create: Delivery,
    pub(crate) start: Delivery,
    /// Who waits for its end.
    pub(crate) stops: Vec<Ticket>,
    /// Set while it is to be removed, with who waits for that.
    pub(crate) removal: Option<Vec<Ticket>>,
    /// Changes of its limits that wait for their turn.
    pub(crate) updates: VecDeque<(Ticket, Box<Resources>)>,
    /// What it takes in lists.
    pub(crate) _listed: Share,
}

/// A container's record exists once it is made.
#[derive(Debug)]
pub(crate) enum Body {
    /// A job makes it; nothing is recorded yet.
    Making,
    Made(Box<Made>),
}

/// A container that exists.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) record: ContainerRecord,
    pub(crate) operation: Operation,
    /// Of the last change of its phase.
    pub(crate) recorded: CommitNumber,
    /// The deadline of a stop that whoever runs or starts it knows of.
    pub(crate) sent_deadline: Option<i64>,
    /// It ended while no daemon was there, as its exit file says: that is shown until it is recorded.
    pub(crate) seen_exit: Option<Ended>,
    /// What commands in it begin with.
    pub(crate) exec: ExecBase,
}

/// What is being done to a container: one thing at a time.
#[derive(Debug)]
pub(crate) enum Operation {
    None,
    /// Its start comes once that is recorded. Phase: starting.
    StartRecorded {
        target: Option<u32>,
    },
    /// A job starts it. Its end may be told before its start is. Phase: starting.
    Starting {
        early_exit: Option<Ended>,
    },
    /// Whether it runs is decided, and told once that is recorded. Phase: running or exited.
    Started(Result<(), Error>),
    /// A change of its limits comes once that is recorded. Phase: running, or exited by now.
    UpdateRecorded {
        ticket: Ticket,
        after: Box<Resources>,
    },
    /// A job changes its limits. Without a ticket it is an earlier daemon's change. Phase: running, or exited by now.
    Updating {
        ticket: Option<Ticket>,
        after: Box<Resources>,
    },
    /// It has ended, and what it held is given back. Phase: exited.
    CleaningUp(CleaningUp),
    /// A job removes it. Phase: created or exited.
    Removing,
    /// Nothing is left of it but its record: it is forgotten, and that told, once that has gone. Phase: as before.
    Removed,
}

/// The shim's giving up of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CleaningUp {
    /// Once the end is recorded.
    Due,
    Running,
    /// A removal, and the pod's stop, try again.
    Failed,
}

impl Container {
    /// Whether its client asked for this: limits may be otherwise by now.
    pub(crate) fn was_asked_for_as(&self, spec: &ContainerSpec) -> bool {
        let adjusted = self.made().and_then(|made| made.record.made_from.adjusted.as_deref());
        match adjusted {
            Some(adjusted) if self.spec.resources == adjusted.given => {
                let asked = ContainerSpec { resources: adjusted.asked.clone(), ..ContainerSpec::clone(&self.spec) };
                asked == *spec
            }
            _ => *self.spec == *spec,
        }
    }

    pub(crate) fn making(spec: ContainerSpec, listed: Share) -> Self {
        Self {
            spec: Arc::new(spec),
            body: Body::Making,
            create: Delivery::new(),
            start: Delivery::new(),
            stops: Vec::new(),
            removal: None,
            updates: VecDeque::new(),
            _listed: listed,
        }
    }

    /// One that an earlier daemon made.
    pub(crate) fn recorded(spec: ContainerSpec, record: ContainerRecord, seen: Option<Ended>, listed: Share) -> Self {
        // Nobody starts what he does not know of. What came of a start, its client may not have heard.
        let (create, start) = match record.phase {
            ContainerPhase::Created => (Stage::Open, Stage::Pending),
            _ => (Stage::BuiltOn, Stage::Open),
        };
        let mut made = Made { seen_exit: seen, ..Made::new(record, CommitNumber::default()) };
        made.rest();
        Self {
            create: Delivery::at(create),
            start: Delivery::at(start),
            body: Body::Made(Box::new(made)),
            ..Self::making(spec, listed)
        }
    }

    pub(crate) fn made(&self) -> Option<&Made> {
        if let Body::Made(made) = &self.body { Some(made) } else { None }
    }

    pub(crate) fn made_mut(&mut self) -> Option<&mut Made> {
        if let Body::Made(made) = &mut self.body { Some(made) } else { None }
    }

    /// It has a process, or may have one.
    pub(crate) fn is_live(&self) -> bool {
        self.made()
            .is_some_and(|made| matches!(made.record.phase, ContainerPhase::Starting | ContainerPhase::Running { .. }))
    }

    /// Nothing of it is being done, and nothing of it is left but files.
    pub(crate) fn is_quiet(&self) -> bool {
        self.made().is_some_and(|made| {
            matches!(made.operation, Operation::None | Operation::Removed) && !made.record.needs_cleanup
        }) && !self.is_live()
    }

    /// A job of it is under way that waits for the shim.
    pub(crate) fn needs_shim(&self) -> bool {
        self.made().is_some_and(|made| match &made.operation {
            Operation::Starting { .. } | Operation::Updating { .. } | Operation::StartRecorded { .. } => true,
            Operation::CleaningUp(CleaningUp::Running) => true,
            Operation::Removing => made.record.needs_cleanup,
            Operation::None | Operation::Started(_) | Operation::UpdateRecorded { .. } => false,
            Operation::CleaningUp(_) | Operation::Removed => false,
        })
    }

    /// Nothing is left of it but its record.
    pub(crate) fn is_removed(&self) -> bool {
        self.made().is_some_and(|made| matches!(made.operation, Operation::Removed))
    }

    /// Why something can't be done to it as it is.
    pub(crate) fn precondition(&self, id: &ContainerId, need: &'static str) -> Error {
        let state = match self.made().map(|made| &made.record.phase) {
            None => "being made".to_owned(),
            Some(ContainerPhase::Created) if self.removal.is_some() => "being removed".to_owned(),
            Some(ContainerPhase::Created) => "created".to_owned(),
            Some(ContainerPhase::Starting) => "starting".to_owned(),
            Some(ContainerPhase::Running { .. }) => "running".to_owned(),
            // A client that did not hear why its start failed hears it now.
            Some(ContainerPhase::Exited(end)) if !end.message.is_empty() => {
                format!("exited ({}: {})", end.reason, end.message)
            }
            Some(ContainerPhase::Exited(_)) => "exited".to_owned(),
        };
        Error::Precondition { what: "container", id: id.to_string(), state, need }
    }

    /// Calls that wait for what is done to it.
    pub(crate) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        let changing = self.made().and_then(|made| match made.operation {
            Operation::UpdateRecorded { ticket, .. } => Some(ticket),
            Operation::Updating { ticket, .. } => ticket,
            _ => None,
        });
        let made = self.create.tickets().chain(self.start.tickets());
        let ended = self.stops.iter().chain(self.removal.iter().flatten()).copied();
        made.chain(ended).chain(self.updates.iter().map(|(ticket, _)| *ticket)).chain(changing)
    }

    /// Clients that left. What they asked for goes on.
    pub(crate) fn leave(&mut self, left: &[Ticket]) {
        self.create.leave(left);
        self.start.leave(left);
        self.stops.retain(|ticket| !left.contains(ticket));
        if let Some(tickets) = &mut self.removal {
            tickets.retain(|ticket| !left.contains(ticket));
        }
    }
}

impl Made {
    pub(crate) fn new(record: ContainerRecord, recorded: CommitNumber) -> Self {
        let (operation, exec) = (Operation::None, ExecBase::default());
        Self { record, operation, recorded, sent_deadline: None, seen_exit: None, exec }
    }

    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.operation, Operation::None)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.record.phase, ContainerPhase::Exited(_))
    }

    /// It has ended without a process: no exit file tells so, should the record not.
    pub(crate) fn never_ran(&self) -> bool {
        matches!(&self.record.phase, ContainerPhase::Exited(end) if end.started_at == 0)
    }

    /// A change of limits is to be recorded.
    pub(crate) fn begin_update(&mut self, ticket: Ticket, after: Box<Resources>) {
        if let ContainerPhase::Running { updating, .. } = &mut self.record.phase {
            *updating = Some(after.clone());
            self.operation = Operation::UpdateRecorded { ticket, after };
        }
    }

    /// No change of limits is under way any more.
    pub(crate) fn end_update(&mut self) {
        if let ContainerPhase::Running { updating, .. } = &mut self.record.phase {
            *updating = None;
        }
        self.rest();
    }

    /// What was being done is over: what comes next follows from the phase.
    pub(crate) fn rest(&mut self) {
        let cleanup = self.has_ended() && self.record.needs_cleanup;
        self.operation = if cleanup { Operation::CleaningUp(CleaningUp::Due) } else { Operation::None };
    }

    /// When it was started, as far as that is known; 0 if it wasn't.
    pub(crate) fn started_at(&self) -> i64 {
        match self.record.phase {
            ContainerPhase::Running { started_at, .. } => started_at,
            _ => 0,
        }
    }
}

/// What a change of limits needs.
pub(super) const NEEDS_LIFE: &str = "limits can only be changed while it is created or running";

/// What the field calls the ways of ending.
pub(crate) fn ended(exit: &peapod_shim_protocol::exit::Exit) -> Ended {
    let reason = match (exit.oom, exit.code) {
        (true, _) => "OOMKilled",
        (false, 0) => "Completed",
        (false, _) => "Error",
    };
    Ended {
        started_at: exit.started_at,
        finished_at: exit.finished_at.max(exit.started_at + 1),
        code: i32::try_from(exit.code).unwrap_or(255),
        reason: reason.to_owned(),
        message: String::new(),
    }
}

/// The end of a container of which nothing is known but that it is over.
pub(crate) fn unknown_end(started_at: i64, now: i64) -> Ended {
    Ended {
        started_at,
        finished_at: now,
        code: 255,
        reason: "Unknown".to_owned(),
        message: "the pod's shim was gone before it could tell how this container ended".to_owned(),
    }
}

/// The end of a container that was stopped before it was started.
pub(crate) fn never_started(now: i64) -> Ended {
    Ended {
        started_at: 0,
        finished_at: now,
        code: 137,
        reason: "Error".to_owned(),
        message: "stopped before it was started".to_owned(),
    }
}

/// The end of a container that could not be started.
pub(crate) fn start_error(error: &Error, now: i64) -> Ended {
    Ended { started_at: 0, finished_at: now, code: 128, reason: "StartError".to_owned(), message: error.to_string() }
}
