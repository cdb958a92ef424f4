//! What clients were told, and was on disk by then: nothing of it is taken back, by no failure and no death.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{self, Asked};
use super::disk::Disk;
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::Reply;
use crate::record::{ContainerPhase, PodPhase};
use crate::view::{ContainerState, PodEntry, PodState};

/// Of one pod.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The pod is to be removed.
    goes: bool,
    /// Nobody asked for their removal.
    made: BTreeSet<ContainerId>,
    /// Somebody did.
    unwanted: BTreeSet<ContainerId>,
    started: BTreeSet<ContainerId>,
    ended: BTreeSet<ContainerId>,
    /// They run no more, also if that is not recorded yet.
    over: BTreeSet<ContainerId>,
    removed: BTreeSet<ContainerId>,
    /// Limits that were changed: their names.
    limits: BTreeMap<ContainerId, BTreeSet<String>>,
    stopped: bool,
    /// Of the pod's last update.
    shares: i64,
}

impl Facts {
    /// Somebody asks.
    pub(super) fn ask(&mut self, asked: &Asked) {
        match asked {
            Asked::Remove(id) => {
                self.made.remove(id);
                self.unwanted.insert(id.clone());
            }
            Asked::RemovePod => self.goes(),
            _ => {}
        }
    }

    /// An error is told. A pod that could not be recorded goes again.
    pub(super) fn refuse(&mut self, asked: &Asked, error: &Error) {
        if *asked == Asked::Run && matches!(error, Error::Failed { .. }) {
            self.goes();
        }
    }

    fn goes(&mut self) {
        self.goes = true;
        self.made.clear();
    }

    /// A success is told.
    pub(super) fn tell(&mut self, asked: &Asked, reply: &Reply, disk: &Disk) {
        match (asked, reply) {
            (_, Reply::Created(id)) if !self.goes && !self.unwanted.contains(id) => drop(self.made.insert(id.clone())),
            (Asked::Start(id), _) if !matches!(disk.phase(id), Some(ContainerPhase::Starting) | None) => {
                self.started.insert(id.clone());
            }
            (Asked::Stop(id), _) => {
                self.over.insert(id.clone());
                if matches!(disk.phase(id), Some(ContainerPhase::Exited(_))) {
                    self.ended.insert(id.clone());
                }
            }
            (Asked::Remove(id), _) => drop(self.removed.insert(id.clone())),
            (Asked::Update(id, limit), _) => drop(self.limits.entry(id.clone()).or_default().insert(limit.clone())),
            (Asked::StopPod, _) => self.stopped = true,
            (Asked::UpdatePod(shares), _) => self.shares = *shares,
            _ => {}
        }
    }

    /// What is on disk agrees.
    pub(super) fn check_disk(&self, disk: &Disk) {
        for (id, (spec, record)) in &disk.containers {
            assert!(!self.removed.contains(id), "{} was removed, and is recorded again", id.short());
            let ended = matches!(record.phase, ContainerPhase::Exited(_));
            assert!(ended || !self.ended.contains(id), "{} had ended, and has not any more", id.short());
            let created = matches!(record.phase, ContainerPhase::Created);
            assert!(!created || !self.started.contains(id), "{} was started, and was not any more", id.short());
            assert!(!created || !self.over.contains(id), "{} was stopped, and can be started", id.short());
            self.check_limits(id, &spec.resources.hugepage_limits);
        }
        let Some(pod) = &disk.pod else { return };
        assert!(pod.phase == PodPhase::Stopped || !self.stopped, "a pod was stopped, and is not any more");
        let shares = disk.pod_spec.as_deref().map_or(0, checks::pod_shares);
        assert!(shares >= self.shares, "an update of the pod is not recorded any more: {shares} and {}", self.shares);
        let lost = self.made.iter().find(|id| !disk.containers.contains_key(*id));
        assert!(lost.is_none(), "{lost:?} was made, and is not recorded any more");
    }

    /// Limits that are in force, or recorded: all changes that were told are among them.
    pub(super) fn check_limits(&self, id: &ContainerId, limits: &BTreeMap<String, u64>) {
        let told = self.limits.get(id).into_iter().flatten();
        let lost: Vec<_> = told.filter(|limit| !limits.contains_key(*limit)).collect();
        assert!(lost.is_empty(), "changes of {} are lost: {lost:?} are not among {limits:?}", id.short());
    }

    /// What is shown agrees.
    pub(super) fn check_shown(&self, shown: Option<&PodEntry>) {
        let Some(shown) = shown else { return };
        assert!(checks::pod_shares(&shown.pod.spec) >= self.shares, "an update of the pod was taken back");
        assert!(!self.stopped || shown.pod.state == PodState::NotReady, "a pod was stopped, and is shown as ready");
        let lost = self.made.iter().find(|id| !shown.containers.contains_key(*id));
        assert!(lost.is_none(), "{lost:?} was made, and is not shown");
        for (id, view) in &shown.containers {
            assert!(!self.removed.contains(id), "{} was removed, and is shown", id.short());
            let ended = matches!(view.state, ContainerState::Exited { .. });
            assert!(ended || !self.ended.contains(id), "{} had ended, and is not shown so", id.short());
            let created = matches!(view.state, ContainerState::Created);
            assert!(!created || !self.started.contains(id), "{} was started, and is not shown so", id.short());
        }
    }
}
