//! What the shim makes each container of the pod with.

use peapod_cgroup::Hierarchy;

use crate::runtime::RuntimeLauncher;
use crate::stdio::Null;
use crate::users::{PodUsers, PodUsersCell, StreamGiver};

/// Runs the OCI runtime, finds cgroups, and gives processes a `/dev/null`.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) launcher: RuntimeLauncher,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) null: Null,
    pub(crate) users: PodUsersCell,
}

impl Host {
    pub(crate) fn streams(&self) -> StreamGiver<'_> {
        StreamGiver { null: &self.null, owner: self.users.get().map(PodUsers::root) }
    }
}
