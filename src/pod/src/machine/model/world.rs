//! What there is of a pod: a shim, files, layers, a network, a disk. What jobs do to it is in [`jobs`](super::jobs).

use std::collections::{BTreeMap, BTreeSet};

use peapod_shim_protocol::exit::Exit;
use peapod_spec::container::Resources;

use super::checks::pod_shares;
use super::disk::Disk;
use crate::id::ContainerId;

/// A pod's shim.
#[derive(Debug, Default)]
pub(super) struct SimShim {
    pub(super) is_dead: bool,
    /// Not to be driven by the daemon of now.
    pub(super) is_foreign: bool,
    /// The daemon has begun to end it.
    pub(super) is_released: bool,
    /// Everything in it was killed, and nothing can be started any more.
    pub(super) killed: bool,
    pub(super) init_ended: bool,
    /// Whether the process lives.
    pub(super) tasks: BTreeMap<ContainerId, bool>,
    pub(super) events: Vec<(u64, Option<ContainerId>)>,
    last: u64,
}

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) now: i64,
    pub(super) disk: Disk,
    pub(super) shim: Option<SimShim>,
    pub(super) network: bool,
    pub(super) files: bool,
    /// The pod's own cgroup, with the shares that are in force on it.
    pub(super) group: Option<i64>,
    pub(super) leases: BTreeSet<ContainerId>,
    pub(super) layers: BTreeSet<ContainerId>,
    /// Exit files.
    pub(super) exits: BTreeMap<ContainerId, Exit>,
    /// Limits of what runs.
    pub(super) limits: BTreeMap<ContainerId, Resources>,
    /// Containers of whose limits nobody knows, as a change of them has panicked.
    pub(super) unsure: BTreeSet<ContainerId>,
    /// Containers that were told to end.
    pub(super) ending: BTreeSet<ContainerId>,
    /// Events are told again although they were acknowledged.
    pub(super) repeats: bool,
}

impl World {
    pub(super) fn shim(&mut self) -> Option<&mut SimShim> {
        self.shim.as_mut().filter(|shim| !shim.is_dead)
    }

    /// What of a pod there is.
    pub(super) fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let mut note = |is: bool, what: &str| {
            if is {
                left.push(what.to_owned());
            }
        };
        note(self.disk.pod.is_some(), "its record");
        note(!self.disk.containers.is_empty(), "a container's record");
        note(self.shim.is_some(), "its shim, or what that left");
        note(self.network, "its network");
        note(self.files, "its files");
        note(self.group.is_some(), "its cgroup");
        note(!self.leases.is_empty(), "a lease");
        note(!self.layers.is_empty(), "a layer");
        left
    }

    /// What a new daemon sweeps away: whatever no record leads to.
    pub(super) fn sweep(&mut self) {
        if self.disk.pod.is_none() {
            (self.shim, self.network, self.files, self.group) = (None, false, false, None);
            self.exits.clear();
        }
        let Self { disk, leases, layers, .. } = self;
        leases.retain(|id| disk.containers.contains_key(id));
        layers.retain(|id| disk.containers.contains_key(id));
    }

    /// A container's processes end.
    pub(super) fn exit(&mut self, id: &ContainerId) {
        let now = self.now;
        let Some(shim) = self.shim.as_mut() else { return };
        let Some(alive) = shim.tasks.get_mut(id).filter(|alive| **alive) else { return };
        *alive = false;
        self.limits.remove(id);
        let exit = Exit { code: 7, signal: None, oom: false, started_at: 1, finished_at: now };
        self.exits.insert(id.clone(), exit);
        if !shim.is_dead {
            shim.last += 1;
            shim.events.push((shim.last, Some(id.clone())));
        }
    }

    pub(super) fn end_init(&mut self) {
        if let Some(shim) = self.shim().filter(|shim| !shim.init_ended) {
            shim.init_ended = true;
            shim.last += 1;
            shim.events.push((shim.last, None));
        }
    }

    /// Whether the shim has something to tell.
    pub(super) fn has_events(&self, after: u64) -> bool {
        self.shim.as_ref().is_none_or(|shim| shim.is_dead || shim.events.iter().any(|(number, _)| *number > after))
    }

    pub(super) fn kill_all(&mut self) {
        let tasks: Vec<_> = self.shim.iter().flat_map(|shim| shim.tasks.keys().cloned()).collect();
        for id in tasks {
            self.exit(&id);
        }
    }

    /// Whether the pod is recorded as one that has a cgroup of its own, with the shares that are recorded for it.
    pub(super) fn recorded_group(&self) -> Option<i64> {
        let pod = self.disk.pod.as_ref().filter(|pod| pod.cgroup.own().is_some());
        pod.map(|_| self.disk.pod_spec.as_deref().map_or(0, pod_shares))
    }

    /// What runs, with the limits that are in force and those that are recorded.
    pub(super) fn running_limits(&self) -> impl Iterator<Item = (&ContainerId, &Resources, &Resources)> {
        let limits = self.limits.iter();
        let limits = limits.filter(|(id, _)| self.alive(id) == Some(true) && !self.unsure.contains(*id));
        limits.filter_map(|(id, limits)| Some((id, limits, &self.disk.containers.get(id)?.0.resources)))
    }

    pub(super) fn alive(&self, id: &ContainerId) -> Option<bool> {
        self.shim.as_ref().and_then(|shim| shim.tasks.get(id).copied())
    }
}
