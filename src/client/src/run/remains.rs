//! What is left of a pod that has ended, until somebody removes it.

use std::cell::Cell;
use std::rc::Rc;

use super::supervise::RunOutcome;

/// What is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remains {
    Nothing,
    /// What tells why it ended: its logs, its last state, and its place at the runtime.
    Tale,
    All,
}

/// Of which ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemainsPolicy {
    Never,
    /// Of one that has ended by itself.
    OwnEnd,
    /// Of whatever end, for what it was made for has failed.
    End,
    Always,
}

/// What is to be left of a pod, which may be said while it lives.
#[derive(Clone, Debug)]
pub(super) struct RemainsWish(Rc<Cell<RemainsPolicy>>);

impl RemainsWish {
    pub(super) fn new(policy: RemainsPolicy) -> Self {
        Self(Rc::new(Cell::new(policy)))
    }

    /// What it was made for has failed: where ends leave something, so does this pod, though it is asked to end.
    pub(super) fn leave_tale(&self) {
        if self.0.get() == RemainsPolicy::OwnEnd {
            self.0.set(RemainsPolicy::End);
        }
    }

    /// What is left of one that has ended so, or could not be run.
    pub(super) fn of(&self, outcome: Option<&RunOutcome>) -> Remains {
        match self.0.get() {
            RemainsPolicy::Always => Remains::All,
            RemainsPolicy::OwnEnd if outcome.is_some_and(RunOutcome::is_own) => Remains::Tale,
            RemainsPolicy::End if outcome.is_some() => Remains::Tale,
            RemainsPolicy::Never | RemainsPolicy::OwnEnd | RemainsPolicy::End => Remains::Nothing,
        }
    }
}
