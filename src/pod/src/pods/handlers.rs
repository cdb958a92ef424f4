//! What the node's handlers are, and what they can do.

use super::Pods;
use crate::config::{HandlerTable, LeftOutProgram};
use crate::runtimes::HandlerView;

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

    /// All handlers, in the order of their names. From memory, as [`Pods::is_recursive_read_only`] says.
    pub async fn handlers(&self) -> Vec<HandlerView> {
        self.actors.runtimes.views().await
    }

    /// Programs that look like OCI runtimes and are no handlers.
    #[must_use]
    pub fn left_out_programs(&self) -> Vec<LeftOutProgram> {
        self.actors.runtimes.left_out()
    }

    /// Changes the handlers that new pods can have. The default one has to stay among them.
    pub fn set_handlers(&self, handlers: &HandlerTable) {
        self.actors.runtimes.set(handlers);
    }
}
