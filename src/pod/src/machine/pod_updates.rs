//! Changes of what a pod's own cgroup may have, from their requests to their answers.

use std::collections::VecDeque;

use peapod_spec::pod::PodResources;

use super::input::Ticket;

/// A change, with who waits for it.
pub(crate) type PodUpdate = (Ticket, PodResources);

/// Those that were asked for and are not answered.
#[derive(Debug, Default)]
pub(crate) struct PodUpdates {
    pub(crate) waiting: VecDeque<PodUpdate>,
    /// A job sets these.
    pub(crate) under_way: Option<PodUpdate>,
}

impl PodUpdates {
    pub(crate) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.under_way.iter().chain(&self.waiting).map(|(ticket, _)| *ticket)
    }
}
