//! Settings that change while pods run.

use peapod_spec::Ulimits;

use super::Pods;
use crate::config::Timeouts;

impl Pods {
    /// Changes how long calls wait that begin to wait from now on.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        self.timeouts.set(timeouts);
    }

    /// Changes the resource limits of containers that are made from now on.
    pub fn set_ulimits(&self, ulimits: Ulimits) {
        self.actors.containers.settings.set_ulimits(ulimits);
    }
}
