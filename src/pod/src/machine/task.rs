//! Tasks that an actor runs for its machine, and what the machine is told of one that brought no result.

use super::action::JobKey;
use super::input::{Input, Timer};

/// Which task it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TaskKey {
    Job(JobKey),
    Commit,
    Pause(Timer),
}

/// How a task ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// It was given up because the machine wanted that.
    Cancelled,
    Panicked,
}

impl TaskKey {
    /// What the machine is told, so that it waits for no task that is over. None where nobody can know how far the task
    /// came: then the pod has to be taken up from its record, as after the daemon's death.
    pub(crate) fn ended_without_result<S>(self, how: NoResult) -> Option<Input<S>> {
        let outcome = match (self, how) {
            (Self::Job(key), NoResult::Cancelled) => key.cancelled(),
            (Self::Job(key), NoResult::Panicked) => key.panicked(),
            // Rows may be on disk or not.
            (Self::Commit, _) => None,
            (Self::Pause(timer), _) => return Some(Input::Timer(timer)),
        };
        outcome.map(Input::Outcome)
    }
}
