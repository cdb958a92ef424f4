//! UpdateContainerResources of a running container.

use std::path::Path;

use oci_spec::runtime::{LinuxMemory, LinuxResources};
use peapod_cgroup::{Cgroup, Lift, SavedFiles};
use peapod_spec::container::Resources;
use peapod_spec::{linux_resources, resources_json};

use super::{ContainerOperations, limits, made_by, sandboxed_fields};
use crate::error::Error;
use crate::id::ContainerId;
use crate::refused_limits::{refuse_below_usage, refuse_swap_below_memory};
use crate::runtimes::Handler;
use crate::shim::Shim;
use crate::systemd;

/// The kernel's own values, where a container said nothing.
const SHARES: i64 = 1024;
const PERIOD: i64 = 100_000;

/// A running container whose limits change.
pub(crate) struct UpdateInput<'a> {
    pub(crate) id: &'a ContainerId,
    /// Its group.
    pub(crate) group: &'a str,
    /// Its bundle, which says which OCI runtime made it.
    pub(crate) bundle: &'a Path,
    /// The pod's handler.
    pub(crate) handler: &'a Handler,
    /// Whether systemd made it.
    pub(crate) by_systemd: bool,
    pub(crate) before: &'a Resources,
    pub(crate) after: &'a Resources,
    pub(crate) attempt: UpdateAttempt,
}

/// Whether some of an update may be in force already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateAttempt {
    First,
    /// An earlier daemon began it.
    Again,
}

impl ContainerOperations {
    /// Has the OCI runtime apply all limits, as they are after the change. After an error those of before are in force.
    pub(crate) async fn update(&self, shim: &Shim, update: UpdateInput<'_>) -> Result<(), Error> {
        if let Ok(runtime) = update.handler.runtime() {
            sandboxed_fields::check_update(runtime)?;
        }
        let group = self.cgroups.cgroup(update.group);
        let group = group.map_err(|error| Error::failed("find the container's cgroup", &error))?;
        let takes_minus_one = self.takes_minus_one(&update).await;
        let checked = self.check(&group, &update, takes_minus_one);
        if update.attempt == UpdateAttempt::First {
            checked.clone()?;
        }
        let takes_minus_one = takes_minus_one.unwrap_or_default();
        let saved = saved(&group, &update);
        let applied = match checked {
            Ok(()) => self.apply(shim, &group, &update, update.after, takes_minus_one).await,
            refused => refused,
        };
        let Err(failure) = applied else { return Ok(()) };
        let before = taken_back(update.before, update.after);
        let back = self.apply(shim, &group, &update, &before, takes_minus_one).await;
        // A runtime that refuses one limit may have set none.
        let mut left: Vec<_> = back.err().iter().map(ToString::to_string).collect();
        left.extend(saved.restore().iter().map(ToString::to_string));
        if left.is_empty() {
            return Err(failure);
        }
        let (container, error) = (update.id.short(), left.join("; "));
        tracing::warn!(container, error, "limits of before a failed update could not all be set again");
        Err(with_left(failure, &error))
    }

    /// What is refused before anything changes.
    fn check(&self, group: &Cgroup, update: &UpdateInput<'_>, takes_minus_one: Option<bool>) -> Result<(), Error> {
        refuse_below_usage(group, update.after, ("container", update.id.as_str()))?;
        refuse_swap_below_memory(update.after, self.facts.swap_accounting)?;
        if takes_minus_one.is_none() && lift(update.after) != Lift::default() {
            return Err(Error::Failed {
                step: "ask the container's OCI runtime whether it takes -1 for no limit".to_owned(),
                reason: "it does not answer `--version`: try again when it does, or set a limit".to_owned(),
            });
        }
        Ok(())
    }

    /// The word of the runtime that made the container and goes on with it, whatever the pod's handler is today. None
    /// if it can't tell.
    async fn takes_minus_one(&self, update: &UpdateInput<'_>) -> Option<bool> {
        let of_handler = || update.handler.runtime().ok().map(|runtime| runtime.path.clone());
        let program = made_by::program(update.bundle).await.or_else(of_handler)?;
        self.runtimes.features(&program).await.no_limits
    }

    /// crun 1.8 doesn't tell systemd, which would go back to the limits of the start at its next `systemctl
    /// daemon-reload`; from runc it hears the same twice.
    async fn apply(
        &self,
        shim: &Shim,
        group: &Cgroup,
        update: &UpdateInput<'_>,
        resources: &Resources,
        takes_minus_one: bool,
    ) -> Result<(), Error> {
        let lift = lift(resources);
        group.lift(lift).map_err(|error| Error::failed("take limits off the container", &error))?;
        let mut resources = linux_resources(resources, &self.facts);
        if takes_minus_one {
            tell_none(&mut resources, lift, self.facts.swap_accounting);
        }
        if resources != LinuxResources::default() {
            let json = resources_json(&resources)
                .map_err(|error| Error::Invalid { field: "linux".to_owned(), reason: error.to_string() })?;
            let updated = shim.update(update.id.as_str(), json).await;
            updated.map_err(|error| error.of_running(update.id, "update the container"))?;
        }
        // A runtime that knows of -1 after all, having been replaced this moment, has written what it was told last.
        group.lift(lift).map_err(|error| Error::failed("take limits off the container", &error))?;
        if update.by_systemd {
            let told = systemd::set_limits(update.group, &limits::of(&resources)).await;
            told.map_err(|error| {
                Error::failed(
                    "tell systemd the limits, which are in force until it reads its units again (repeat the call)",
                    &error,
                )
            })?;
        }
        Ok(())
    }
}

/// Files whose limits an update changes and that may hold what no limit of before tells: processors, memory nodes, huge
/// pages, and whatever is named itself. Each version of cgroups has some of them.
fn files_of(before: &Resources, after: &Resources) -> Vec<String> {
    let cpus = (before.cpuset_cpus != after.cpuset_cpus).then(|| "cpuset.cpus".to_owned());
    let mems = (before.cpuset_mems != after.cpuset_mems).then(|| "cpuset.mems".to_owned());
    let sizes = after.hugepage_limits.iter().filter(|(size, limit)| before.hugepage_limits.get(*size) != Some(limit));
    let pages = sizes.flat_map(|(size, _)| {
        ["max", "rsvd.max", "limit_in_bytes", "rsvd.limit_in_bytes"].map(|file| format!("hugetlb.{size}.{file}"))
    });
    let named = after.unified.iter().filter(|(file, value)| before.unified.get(*file) != Some(value));
    cpus.into_iter().chain(mems).chain(pages).chain(named.map(|(file, _)| file.clone())).collect()
}

/// What those files are to hold after a failure.
fn saved(group: &Cgroup, update: &UpdateInput<'_>) -> SavedFiles {
    let mut names = files_of(update.before, update.after);
    if update.attempt == UpdateAttempt::First {
        return group.save(names.iter().map(String::as_str));
    }
    // They may hold half of it. What was set before is set again by the runtime.
    let set = files_of(&Resources::default(), update.before);
    names.retain(|name| !set.contains(name));
    group.unset(names.iter().map(String::as_str))
}

/// Says what the failed update has left changed.
fn with_left(failure: Error, left: &str) -> Error {
    let more = |text: String| format!("{text}; limits of before could not all be set again: {left}");
    match failure {
        Error::Runtime(text) => Error::Runtime(more(text)),
        Error::Failed { step, reason } => Error::Failed { step, reason: more(reason) },
        Error::Invalid { field, reason } => Error::Invalid { field, reason: more(reason) },
        // It is gone, and its limits with it.
        other => other,
    }
}

/// What is to be unlimited. Where nothing is said of swap, a container with a memory limit has none, and one without as
/// much as it likes.
fn lift(resources: &Resources) -> Lift {
    let memory = resources.memory_limit < 0;
    let swap = resources.memory_swap_limit < 0 || (memory && resources.memory_swap_limit == 0);
    Lift { cpu_quota: resources.cpu_quota < 0, memory, swap }
}

/// Puts -1 for what has no limit.
fn tell_none(resources: &mut LinuxResources, lift: Lift, swap_accounting: bool) {
    if lift.cpu_quota {
        let mut cpu = resources.cpu().clone().unwrap_or_default();
        cpu.set_quota(Some(-1));
        resources.set_cpu(Some(cpu));
    }
    let mut memory = resources.memory().unwrap_or_default();
    if lift.memory {
        memory.set_limit(Some(-1));
    }
    if lift.swap && swap_accounting {
        memory.set_swap(Some(-1));
    }
    resources.set_memory(Some(memory).filter(|memory| *memory != LinuxMemory::default()));
}

/// The limits of before, with the kernel's own where they said nothing and the failed ones did.
fn taken_back(before: &Resources, failed: &Resources) -> Resources {
    let number = |before: i64, failed: i64, unsaid: i64| if before == 0 && failed != 0 { unsaid } else { before };
    Resources {
        cpu_period: number(before.cpu_period, failed.cpu_period, PERIOD),
        cpu_quota: number(before.cpu_quota, failed.cpu_quota, -1),
        cpu_shares: number(before.cpu_shares, failed.cpu_shares, SHARES),
        memory_limit: number(before.memory_limit, failed.memory_limit, -1),
        memory_swap_limit: number(before.memory_swap_limit, failed.memory_swap_limit, 0),
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_lifts() {
        let of = |cpu_quota, memory_limit, memory_swap_limit| {
            lift(&Resources { cpu_quota, memory_limit, memory_swap_limit, ..Resources::default() })
        };
        assert_eq!(of(0, 0, 0), Lift::default());
        assert_eq!(of(5, 64, 64), Lift::default());
        assert_eq!(of(-1, 64, 0), Lift { cpu_quota: true, ..Lift::default() });
        assert_eq!(of(0, -1, 0), Lift { memory: true, swap: true, ..Lift::default() });
        assert_eq!(of(0, 64, -1), Lift { swap: true, ..Lift::default() });
    }

    #[test]
    fn a_failed_update_goes_back_to_what_was() {
        let before = Resources { memory_limit: 64, ..Resources::default() };
        let failed = Resources { memory_limit: 32, cpu_quota: 5, cpu_shares: 7, ..Resources::default() };
        let wanted = Resources { memory_limit: 64, cpu_quota: -1, cpu_shares: SHARES, ..Resources::default() };
        assert_eq!(taken_back(&before, &failed), wanted);
    }

    #[test]
    fn files_that_no_limit_of_before_tells_are_saved() {
        let map = |text: &str| [(text.to_owned(), "1".to_owned())].into();
        let before = Resources { cpuset_mems: "0".to_owned(), unified: map("pids.max"), ..Resources::default() };
        let mut after = Resources { cpuset_cpus: "0".to_owned(), ..before.clone() };
        after.hugepage_limits.insert("2MB".to_owned(), 0);
        after.unified.insert("memory.high".to_owned(), "1".to_owned());
        let names = files_of(&before, &after);
        let pages = ["max", "rsvd.max", "limit_in_bytes", "rsvd.limit_in_bytes"];
        let wanted = ["cpuset.cpus".to_owned()].into_iter();
        let wanted = wanted.chain(pages.map(|file| format!("hugetlb.2MB.{file}"))).chain(["memory.high".to_owned()]);
        assert_eq!(names, wanted.collect::<Vec<_>>());
        assert!(files_of(&before, &before).is_empty());
    }

    #[test]
    fn an_error_says_what_it_left_changed() {
        let error = with_left(Error::Runtime("no".to_owned()), "cpuset.cpus");
        assert_eq!(error.to_string(), "no; limits of before could not all be set again: cpuset.cpus");
    }
}
