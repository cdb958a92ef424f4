//! What one has of a container who is attached to it.

use std::os::fd::OwnedFd;

use super::OciContainer;
use super::state::OciContainerState;
use crate::error::Error;
use crate::stdio::output::OutputSubscription;

/// A container, for those who read along and write to it.
pub(crate) struct AttachPoint<'a>(pub(crate) &'a OciContainer);

impl AttachPoint<'_> {
    /// Hears what it writes from now on.
    pub(crate) fn subscribe(&self) -> Result<OutputSubscription, Error> {
        let missing = || Error::NotFound { kind: "output of container", id: self.0.id().to_owned() };
        self.0.output.as_ref().ok_or_else(missing)?.subscribe()
    }

    /// Another handle of what its process reads, if that can be written to: its terminal, or what keeps its input from
    /// ending.
    pub(crate) fn input(&self) -> Result<Option<OwnedFd>, Error> {
        let input = match &self.0.terminal {
            Some(terminal) => Some(terminal.try_clone()),
            None => self.0.state.borrow().stdin().map(OwnedFd::try_clone),
        };
        input.transpose().map_err(Error::io("write to", &self.0.init.bundle.join("stdin")))
    }

    /// Waits until nobody can write to its input any more.
    pub(crate) async fn input_closed(&self) {
        let is_closed = |state: &OciContainerState| {
            state.phase().exit().is_some() || (self.0.terminal.is_none() && state.stdin().is_none())
        };
        // The sender is the container's.
        let _ = self.0.state.subscribe().wait_for(is_closed).await;
    }
}
