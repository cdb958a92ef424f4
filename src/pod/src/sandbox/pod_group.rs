//! The cgroup of a pod that has limits as a whole, and whose client gives it none: it is made with the pod, has the
//! pod's limits, and goes when all that was in it is gone.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use oci_spec::runtime::LinuxCpu;
use peapod_cgroup::{Cgroup, GroupError, Hierarchy, TotalLimits};
use peapod_spec::container::Resources;
use peapod_spec::{NodeFacts, linux_resources};
use rustix::io::Errno;

use super::SandboxOperations;
use crate::cpuset;
use crate::error::Error;
use crate::id::PodId;
use crate::refused_limits::{refuse_below_usage, refuse_swap_below_memory};

/// The kernel's period of processor quotas, in microseconds.
const PERIOD: u64 = 100_000;
/// Of the files that limits by name are, the one that version 1 has as well.
const PIDS_MAX: &str = "pids.max";
/// How long a group may be in use when all that was in it has ended.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);

impl SandboxOperations {
    /// Makes a pod's own group, or finds it, and sets its limits: none but these are in force then.
    pub(crate) async fn make_group(&self, group: &str, limits: &Resources) -> Result<(), Error> {
        let limits = limits.clone();
        self.on_group(group, "make the pod's cgroup", move |group, facts| {
            check(&limits, facts)?;
            group.create().map_err(|error| failed("make the pod's cgroup", &error))?;
            set(group, &limits, facts)
        })
        .await
    }

    /// Changes its limits. After an error those of before are in force.
    pub(crate) async fn change_group(
        &self,
        pod: &PodId,
        group: &str,
        before: Resources,
        after: Resources,
    ) -> Result<(), Error> {
        let id = pod.to_string();
        self.on_group(group, "limit the pod's cgroup", move |group, facts| {
            check(&after, facts)?;
            refuse_below_usage(group, &after, ("pod sandbox", &id))?;
            // Files of which no limit of before tells what they held.
            let named = after.unified.keys().filter(|name| !before.unified.contains_key(*name));
            let saved = group.save(named.map(String::as_str));
            let Err(failure) = set(group, &after, facts) else { return Ok(()) };
            let back = set(group, &before, facts).err().map(|error| error.to_string());
            let left: Vec<_> = back.into_iter().chain(saved.restore().iter().map(ToString::to_string)).collect();
            if !left.is_empty() {
                let left = left.join("; ");
                tracing::warn!(error = left, "limits of before a failed update of the pod could not all be set again");
            }
            Err(failure)
        })
        .await
    }

    /// Removes it; one that is gone is removed. What is still in it, which nothing of the pod is any more, ends.
    pub(crate) async fn remove_group(&self, group: &str) -> Result<(), Error> {
        const STEP: &str = "remove the pod's cgroup";
        let began = Instant::now();
        loop {
            let removed = self.on_group(group, STEP, |group, _| {
                let emptied = group.is_empty().and_then(|empty| if empty { Ok(()) } else { group.kill() });
                emptied.and_then(|()| group.remove()).map_err(|error| failed(STEP, &error))
            });
            match removed.await {
                Err(_) if began.elapsed() < LIMIT => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// Where it may block: the kernel takes memory back before it takes a lower limit.
    async fn on_group(
        &self,
        path: &str,
        step: &'static str,
        work: impl FnOnce(&Cgroup, &NodeFacts) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let group = find(&self.cgroups, path, step)?;
        let facts = self.facts.clone();
        let done = tokio::task::spawn_blocking(move || work(&group, &facts)).await;
        done.map_err(|panic| Error::failed(step, &panic))?
    }
}

fn find(hierarchy: &Hierarchy, path: &str, step: &'static str) -> Result<Cgroup, Error> {
    hierarchy.cgroup(path).map_err(|error| Error::failed(step, &error))
}

/// What is refused before anything changes.
fn check(limits: &Resources, facts: &NodeFacts) -> Result<(), Error> {
    cpuset::check(limits, facts.cgroup_v2, "linux.resources.")?;
    refuse_swap_below_memory(limits, facts.swap_accounting)
}

fn set(group: &Cgroup, limits: &Resources, facts: &NodeFacts) -> Result<(), Error> {
    let set = group.limit_total(&total(limits, facts));
    set.map_err(|error| match Errno::from_io_error(&error.source) {
        // The kernel knows the node's limits better than whoever checked these.
        Some(Errno::INVAL | Errno::RANGE | Errno::NXIO) => {
            Error::Invalid { field: "linux.resources".to_owned(), reason: error.to_string() }
        }
        Some(Errno::BUSY) => Error::Failed {
            step: "limit the pod's cgroup".to_owned(),
            reason: format!("{error}: its containers hold more than that; free some first, or set a higher limit"),
        },
        _ => failed("limit the pod's cgroup", &error),
    })
}

fn failed(step: &'static str, error: &GroupError) -> Error {
    let hint = match error.source.kind() {
        ErrorKind::NotFound => ": the node's cgroups do not limit that",
        _ => "",
    };
    Error::Failed { step: step.to_owned(), reason: format!("{error}{hint}") }
}

/// As a group takes them. What the node can't count is left out, as of containers.
fn total(limits: &Resources, facts: &NodeFacts) -> TotalLimits {
    let told = linux_resources(limits, facts);
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value != 0);
    let (memory, cpu) = (told.memory().as_ref(), told.cpu().as_ref());
    let quota = cpu.and_then(|cpu| positive(cpu.quota()));
    let period = cpu.and_then(LinuxCpu::period).unwrap_or(PERIOD);
    let pages = told.hugepage_limits().iter().flatten();
    let list = |list: Option<&Option<String>>| list.cloned().flatten().unwrap_or_default();
    let by_name = limits.unified.iter().filter(|(name, _)| facts.cgroup_v2 || *name == PIDS_MAX);
    TotalLimits {
        memory: memory.and_then(|memory| positive(memory.limit())),
        memory_and_swap: memory.and_then(|memory| positive(memory.swap())),
        cpu: quota.map(|quota| (quota, period)),
        cpu_shares: cpu.and_then(LinuxCpu::shares),
        cpus: list(cpu.map(LinuxCpu::cpus)),
        mems: list(cpu.map(LinuxCpu::mems)),
        hugepages: pages.map(|page| (page.page_size().clone(), u64::try_from(page.limit()).unwrap_or(0))).collect(),
        files: by_name.map(|(name, value)| (name.clone(), value.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn facts(cgroup_v2: bool, swap_accounting: bool) -> NodeFacts {
        let facts = crate::facts::gather(Path::new("/nonexistent"), cgroup_v2, crate::SelinuxLabels::Asked);
        NodeFacts { cgroup_v2, swap_accounting, hugepage_sizes: vec!["2MB".to_owned()], ..facts }
    }

    #[test]
    fn limits_as_a_group_takes_them() {
        let map = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let limits = Resources {
            cpu_quota: 50_000,
            cpu_shares: 512,
            memory_limit: 64,
            cpuset_cpus: "0".to_owned(),
            hugepage_limits: [("2MB".to_owned(), 2), ("64KB".to_owned(), 3)].into(),
            unified: map(&[(PIDS_MAX, "9"), ("memory.high", "7")]),
            ..Resources::default()
        };
        let on_v1 = TotalLimits {
            memory: Some(64),
            // As containers have none where nothing is said of it.
            memory_and_swap: Some(64),
            cpu: Some((50_000, PERIOD)),
            cpu_shares: Some(512),
            cpus: "0".to_owned(),
            mems: String::new(),
            hugepages: [("2MB".to_owned(), 2)].into(),
            files: map(&[(PIDS_MAX, "9")]),
        };
        assert_eq!(total(&limits, &facts(false, true)), on_v1);
        let without_swap = TotalLimits { memory_and_swap: None, ..on_v1.clone() };
        assert_eq!(total(&limits, &facts(false, false)), without_swap);
        assert_eq!(total(&limits, &facts(true, true)), TotalLimits { files: limits.unified.clone(), ..on_v1 });
        let none = Resources { memory_limit: -1, memory_swap_limit: -1, cpu_quota: -1, ..Resources::default() };
        assert_eq!(total(&none, &facts(true, true)), TotalLimits::default());
    }
}
