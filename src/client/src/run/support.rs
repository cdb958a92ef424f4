//! What a pod needs of its runtime that not every runtime has.

use peapod_api::v1;

use super::RunError;
use super::resources::{PIDS, WholeLimits};
use super::security::UserRange;
use crate::connect::{CriClient, QUICK, call};
use crate::manifest::{Pod, ReadOnlyMount};

/// What a name of a runtime begins with that may set limits of pods.
const PEAPOD: &str = "peapod ";
/// Users of a pod's own, and how many such ranges there are for pods.
const USERS: u32 = 65_536;
const RANGES: u32 = 32_766;

/// What the runtime does for this pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RuntimeSupport {
    pub(super) recursive_read_only: bool,
    /// The pod's own users, if it asks for some.
    pub(super) users: Option<UserRange>,
    pub(super) whole_limits: WholeLimits,
}

impl RuntimeSupport {
    /// Asks the runtime, if the pod needs to know; refuses what it does not do.
    pub(super) async fn ask(
        connection: &CriClient,
        pod: &Pod,
        (handler, cgroup_parent): (&str, &str),
        uid: &str,
    ) -> Result<Self, RunError> {
        let limits = &pod.placement.resources.limits;
        let may_limit = cgroup_parent.is_empty() && connection.runtime_name.starts_with(PEAPOD);
        let asks_for_limits = may_limit && !limits.is_empty();
        let mounts = || pod.all_containers().flat_map(|container| &container.mounts);
        let needs = |wanted| mounts().any(|mount| mount.read_only == wanted);
        let recursive = needs(ReadOnlyMount::All);
        let options = mounts().any(|mount| !mount.options.is_empty());
        let of_pod = pod.security.own_users || pod.security.strict_groups;
        let of_pod = of_pod || asks_for_limits || limits.contains_key(PIDS);
        if !(recursive || options || needs(ReadOnlyMount::AllIfPossible) || of_pod) {
            let whole_limits = if may_limit { WholeLimits::Untold } else { WholeLimits::Told };
            return Ok(Self { whole_limits, ..Self::default() });
        }
        let mut client = connection.runtime.clone();
        let request = v1::StatusRequest { verbose: asks_for_limits };
        let status = call("Status", QUICK, client.status(request)).await.map_err(|source| RunError::Pod { source })?;
        let of_runtime = status.features.unwrap_or_default();
        let named = status.runtime_handlers.iter().find(|known| known.name == handler);
        let of_handler = named.and_then(|known| known.features).unwrap_or_default();
        let whole_limits = match may_limit {
            true if asks_for_limits && limits_pods(&status) => WholeLimits::Together,
            true => WholeLimits::Untold,
            false => WholeLimits::Told,
        };
        let who = match handler {
            "" => connection.runtime_name.clone(),
            handler => format!("the runtime handler {handler} of {}", connection.runtime_name),
        };
        for (asked, there, what) in [
            (recursive, of_handler.recursive_read_only_mounts, "recursiveReadOnly: Enabled"),
            (options, of_runtime.mount_options, "bindMountOptions"),
            (pod.security.own_users, of_handler.user_namespaces, "hostUsers: false (user namespaces)"),
            (pod.security.strict_groups, of_runtime.supplemental_groups_policy, "supplementalGroupsPolicy: Strict"),
            (
                limits.contains_key(PIDS),
                whole_limits == WholeLimits::Together,
                "spec.resources.limits.pids (cgroups of pods' own)",
            ),
        ] {
            if asked && !there {
                return Err(RunError::Unsupported { who, what });
            }
        }
        let users = if pod.security.own_users { Some(free_range(connection, uid).await?) } else { None };
        Ok(Self { recursive_read_only: of_handler.recursive_read_only_mounts, users, whole_limits })
    }

    /// What is to be said of limits that the pod has as a whole.
    pub(super) fn note(&self, pod: &Pod) -> Option<&'static str> {
        let is_held = pod.placement.resources.limits.is_empty() || self.whole_limits == WholeLimits::Together;
        (!is_held).then_some(
            "spec.resources.limits hold for each container that has no limits of its own: no cgroup of the pod's own \
             counts them together",
        )
    }
}

/// Whether peapod makes pods with limits a cgroup of their own, with its cgroup driver.
fn limits_pods(status: &v1::StatusResponse) -> bool {
    let config = status.info.get("config").and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    config.and_then(|config| config.get("podLimits")?.as_bool()).unwrap_or(false)
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
    fn a_peapod_says_whether_it_limits_pods() {
        let status = |text: &str| v1::StatusResponse {
            info: [("config".to_owned(), text.to_owned())].into(),
            ..Default::default()
        };
        assert!(limits_pods(&status(r#"{"podLimits": true}"#)));
        // With another driver, of an earlier release, of another runtime.
        for other in [r#"{"podLimits": false}"#, r#"{"cgroupDriver": "cgroupfs"}"#, "[]", "{"] {
            assert!(!limits_pods(&status(other)), "{other}");
        }
        assert!(!limits_pods(&v1::StatusResponse::default()));
    }

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
