//! What a pod needs of its runtime that not every runtime has.

use peapod_api::v1;

use super::RunError;
use super::security::UserRange;
use crate::connect::{CriClient, QUICK, call};
use crate::manifest::{Pod, ReadOnlyMount};

/// Users of a pod's own, and how many such ranges there are for pods.
const USERS: u32 = 65_536;
const RANGES: u32 = 32_766;

/// What the runtime does for this pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RuntimeSupport {
    pub(super) recursive_read_only: bool,
    /// The pod's own users, if it asks for some.
    pub(super) users: Option<UserRange>,
}

impl RuntimeSupport {
    /// Asks the runtime, if the pod needs to know; refuses what it does not do.
    pub(super) async fn ask(connection: &CriClient, pod: &Pod, handler: &str, uid: &str) -> Result<Self, RunError> {
        let mounts = || pod.all_containers().flat_map(|container| &container.mounts);
        let needs = |wanted| mounts().any(|mount| mount.read_only == wanted);
        let recursive = needs(ReadOnlyMount::All);
        let options = mounts().any(|mount| !mount.options.is_empty());
        let of_pod = pod.security.own_users || pod.security.strict_groups;
        if !(recursive || options || needs(ReadOnlyMount::AllIfPossible) || of_pod) {
            return Ok(Self::default());
        }
        let mut client = connection.runtime.clone();
        let request = v1::StatusRequest { verbose: false };
        let status = call("Status", QUICK, client.status(request)).await.map_err(|source| RunError::Pod { source })?;
        let of_runtime = status.features.unwrap_or_default();
        let named = status.runtime_handlers.iter().find(|known| known.name == handler);
        let of_handler = named.and_then(|known| known.features).unwrap_or_default();
        let who = match handler {
            "" => connection.runtime_name.clone(),
            handler => format!("the runtime handler {handler} of {}", connection.runtime_name),
        };
        for (asked, there, what) in [
            (recursive, of_handler.recursive_read_only_mounts, "recursiveReadOnly: Enabled"),
            (options, of_runtime.mount_options, "bindMountOptions"),
            (pod.security.own_users, of_handler.user_namespaces, "hostUsers: false (user namespaces)"),
            (pod.security.strict_groups, of_runtime.supplemental_groups_policy, "supplementalGroupsPolicy: Strict"),
        ] {
            if asked && !there {
                return Err(RunError::Unsupported { who, what });
            }
        }
        let users = if pod.security.own_users { Some(free_range(connection, uid).await?) } else { None };
        Ok(Self { recursive_read_only: of_handler.recursive_read_only_mounts, users })
    }
}

/// A range of users that no pod of the runtime has.
async fn free_range(connection: &CriClient, uid: &str) -> Result<UserRange, RunError> {
    let failed = |source| RunError::Pod { source };
    let mut client = connection.runtime.clone();
    let list = call("ListPodSandbox", QUICK, client.list_pod_sandbox(v1::ListPodSandboxRequest { filter: None })).await;
    let mut taken = Vec::new();
    for pod in list.map_err(failed)?.items {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: pod.id, verbose: false };
        match call("PodSandboxStatus", QUICK, client.pod_sandbox_status(request)).await {
            Ok(answer) => taken.extend(ranges(answer.status.unwrap_or_default())),
            // Gone meanwhile.
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let begin = u32::from_str_radix(uid.get(..4).unwrap_or_default(), 16).unwrap_or_default();
    pick(begin, &taken).ok_or(RunError::NoUsers)
}

fn ranges(status: v1::PodSandboxStatus) -> Vec<v1::IdMapping> {
    let options = status.linux.and_then(|linux| linux.namespaces).and_then(|namespaces| namespaces.options);
    let users = options.and_then(|options| options.userns_options);
    users.map(|users| users.uids.into_iter().chain(users.gids).collect()).unwrap_or_default()
}

/// The first free range from the `begin`th on. The first of all is the node's own.
fn pick(begin: u32, taken: &[v1::IdMapping]) -> Option<UserRange> {
    let is_free = |first: &u32| {
        let end = |from: u32, count: u32| u64::from(from) + u64::from(count);
        taken.iter().all(|other| {
            end(*first, USERS) <= u64::from(other.host_id) || end(other.host_id, other.length) <= u64::from(*first)
        })
    };
    let firsts = (0..RANGES).map(|step| (begin % RANGES + step) % RANGES).map(|range| (range + 1) * USERS);
    firsts.into_iter().find(is_free).map(|first| UserRange { first, count: USERS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_users_are_nobody_elses() {
        let taken = |first: u32| v1::IdMapping { host_id: first, container_id: 0, length: USERS };
        let first = |begin, all: &[v1::IdMapping]| pick(begin, all).map(|range| range.first);
        assert_eq!(first(0, &[]), Some(USERS));
        assert_eq!(first(0, &[taken(USERS)]), Some(2 * USERS));
        assert_eq!(first(0, &[taken(USERS + 1)]), Some(3 * USERS));
        assert_eq!(first(RANGES - 1, &[taken(RANGES * USERS)]), Some(USERS));
        let all = v1::IdMapping { host_id: 0, container_id: 0, length: u32::MAX };
        assert_eq!(first(7, &[all]), None);
    }
}
