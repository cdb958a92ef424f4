//! What the shim makes each container of the pod with.

use peapod_cgroup::Hierarchy;

use crate::runtime::RuntimeLauncher;
use crate::stdio::Null;

/// Runs the OCI runtime, finds cgroups, and gives processes a `/dev/null`.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) launcher: RuntimeLauncher,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) null: Null,
}
