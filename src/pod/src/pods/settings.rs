//! What handlers of the node can do, and settings that change while pods run.

use peapod_spec::Ulimits;

use super::Pods;
use crate::config::Timeouts;

impl Pods {
    /// Whether containers of a handler, by its name or the default's empty one, can have mounts that are read-only with
    /// all below them.
    ///
    /// From memory: right after the daemon's start alone this waits until the handler's OCI runtime has answered, 2 s
    /// at most. One that could not tell, or was replaced, is asked again meanwhile.
    pub async fn is_recursive_read_only(&self, handler: &str) -> bool {
        self.actors.runtimes.handler(handler).last_features().await.recursive_read_only
    }

    /// Whether pods of a handler can have users of their own. The same.
    pub async fn has_user_namespaces(&self, handler: &str) -> bool {
        self.actors.runtimes.handler(handler).has_users().await
    }

    /// Changes how long calls wait that begin to wait from now on.
    pub fn set_timeouts(&self, timeouts: Timeouts) {
        self.timeouts.set(timeouts);
    }

    /// Changes the resource limits of containers that are made from now on.
    pub fn set_ulimits(&self, ulimits: Ulimits) {
        self.actors.containers.settings.set_ulimits(ulimits);
    }
}
