//! What the node can do and what this process may grant, looked up once.

use std::path::Path;

use peapod_spec::{Arch, NodeFacts, UlimitKind};
use rustix::process::Resource;

use crate::config::SelinuxLabels;
use crate::selinux;

/// Number of CAP_SYS_RESOURCE (linux/capability.h).
const CAP_SYS_RESOURCE: u32 = 24;

/// Looks at the node. What can't be read counts as absent: a container then asks for less, and says so.
pub(crate) fn gather(cgroup_root: &Path, cgroup_v2: bool, labels: SelinuxLabels) -> NodeFacts {
    let status = read("/proc/self/status");
    let effective = capability_mask(&status, "CapEff:");
    let may_raise = effective & (1 << CAP_SYS_RESOURCE) != 0;
    NodeFacts {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        arch: Arch::of_this_build(),
        cgroup_v2,
        capabilities: capability_mask(&status, "CapBnd:"),
        oom_score_adj: read("/proc/self/oom_score_adj").trim().parse().unwrap_or(0),
        may_lower_oom: may_raise,
        hard_limits: hard_limits(may_raise),
        hugepage_sizes: hugepage_sizes(cgroup_root, cgroup_v2),
        swap_accounting: swap_accounting(cgroup_root, cgroup_v2),
        selinux: selinux::look(Path::new("/"), labels),
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn capability_mask(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether swap can be limited: a group that can limit memory has a file for it. The root of version 2 never has.
fn swap_accounting(cgroup_root: &Path, cgroup_v2: bool) -> bool {
    if !cgroup_v2 {
        return cgroup_root.join("memory/memory.memsw.limit_in_bytes").exists();
    }
    let groups = std::fs::read_dir(cgroup_root).into_iter().flatten().flatten().map(|entry| entry.path());
    groups.filter(|group| group.join("memory.max").exists()).all(|group| group.join("memory.swap.max").exists())
}

/// The most that a container's hard limits can be: what it has anyway, where limits can't be raised; else the kernel
/// bounds open files alone.
fn hard_limits(may_raise: bool) -> Vec<(UlimitKind, u64)> {
    let of = |kind: UlimitKind| {
        let resource = resource(kind)?;
        let most = match (may_raise, resource) {
            (false, resource) => peapod_sys::inherited_hard_limit(resource),
            (true, Resource::Nofile) => read("/proc/sys/fs/nr_open").trim().parse().ok(),
            (true, _) => None,
        };
        Some((kind, most?))
    };
    UlimitKind::all().filter_map(of).collect()
}

fn resource(kind: UlimitKind) -> Option<Resource> {
    Some(match kind.name() {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Page sizes as CRI writes them, where a hugetlb controller can limit them.
fn hugepage_sizes(cgroup_root: &Path, cgroup_v2: bool) -> Vec<String> {
    let limited = if cgroup_v2 {
        std::fs::read_to_string(cgroup_root.join("cgroup.controllers"))
            .is_ok_and(|list| list.split_whitespace().any(|name| name == "hugetlb"))
    } else {
        cgroup_root.join("hugetlb").is_dir()
    };
    if !limited {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut sizes: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let kilobytes: u64 = name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some(match kilobytes {
                size if size >= 1 << 20 => format!("{}GB", size >> 20),
                size if size >= 1 << 10 => format!("{}MB", size >> 10),
                size => format!("{size}KB"),
            })
        })
        .collect();
    sizes.sort();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_one_of_the_kernels() {
        assert!(UlimitKind::all().all(|kind| resource(kind).is_some()));
        let most = |may_raise| hard_limits(may_raise).into_iter().map(|(kind, _)| kind.name()).collect::<Vec<_>>();
        assert_eq!(most(true), ["nofile"]);
        assert!(most(false).contains(&"memlock"));
    }
}
