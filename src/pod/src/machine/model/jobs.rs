//! What a pod's jobs do to the world.

use std::path::PathBuf;

use peapod_spec::UserIds;

use super::world::{SimShim, World};
use crate::container::{ExecBase, Expected, RecoveredState};
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{
    Connected, ContainerOutcome, Job, JobError, Outcome, ReconnectError, Reconnected, SetUp, ShimEvent, ShimEventKind,
    Started,
};
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerOrigin, ContainerPhase, ContainerRecord, MadeFrom};
use crate::shim::Foreign;

fn failed() -> Error {
    Error::Failed { step: "job".to_owned(), reason: "made to fail".to_owned() }
}

impl World {
    /// What exists as soon as a job has begun, and what it may not find.
    pub(super) fn begin(&mut self, job: &Job<u32>) {
        match job {
            Job::SetUp => {
                assert!(self.shim.is_none() && !self.network && !self.files, "a second pod is made");
                assert!(self.disk.pod.is_some(), "a pod is made without a record");
                assert!(self.group.is_none(), "a second cgroup is made");
                (self.shim, self.network, self.files) = (Some(SimShim::default()), true, true);
                self.group = self.recorded_group();
            }
            Job::LimitGroup(_) => assert!(self.group.is_some(), "a cgroup is limited that is not there"),
            Job::Create { id, .. } => {
                self.leases.insert(id.clone());
            }
            Job::Start(start) => {
                let recorded = self.disk.phase(&start.id);
                assert_eq!(recorded, Some(&ContainerPhase::Starting), "a start that no record leads to");
                self.layers.insert(start.id.clone());
            }
            Job::Update(update) => {
                let is_recorded = matches!(
                    self.disk.phase(&update.id),
                    Some(ContainerPhase::Running { updating: Some(after), .. }) if **after == update.after
                );
                assert!(is_recorded, "limits are changed that no record leads to");
            }
            Job::Delete { id, .. } => {
                assert_ne!(self.alive(id), Some(true), "a container that runs is deleted");
            }
            Job::Remove { id, .. } => {
                let lives = self.alive(id) == Some(true) && self.shim().is_some_and(|shim| !shim.is_foreign);
                assert!(!lives, "a container that runs is removed");
            }
            Job::Release { .. } => {
                let live = |record: &ContainerRecord| {
                    matches!(record.phase, ContainerPhase::Running { .. } | ContainerPhase::Starting)
                };
                let live = self.disk.containers.values().find(|(_, record)| live(record));
                assert!(live.is_none(), "the shim is ended before the end of {live:?} is recorded");
                self.shim().into_iter().for_each(|shim| shim.is_released = true);
            }
            Job::CleanUp { .. } => {
                assert!(
                    self.shim().is_none_or(|shim| shim.is_foreign || shim.is_released),
                    "a living shim is cleaned up"
                );
            }
            Job::RemoveFiles => {
                assert!(self.shim.is_none() && !self.network && self.layers.is_empty(), "files go before the rest");
                assert!(self.group.is_none(), "files go before the cgroup");
            }
            _ => {}
        }
    }

    /// What a job has done and answers when it is over.
    pub(super) fn finish(&mut self, job: Job<u32>, well: bool, overridden: bool) -> Outcome<u32> {
        let plain = if well { Ok(()) } else { Err(failed()) };
        match job {
            Job::SetUp if well => {
                let connected = Connected { shim: 1, pid: 7, namespaces: PodNamespaces::default() };
                Outcome::SetUp(Ok(SetUp { connected, attached: true, ips: Vec::new(), netns: None }))
            }
            Job::SetUp => {
                (self.shim, self.network, self.files, self.group) = (None, false, false, None);
                Outcome::SetUp(Err(failed()))
            }
            Job::TakeBack => {
                if well {
                    (self.shim, self.network, self.files, self.group) = (None, false, false, None);
                }
                Outcome::TakenBack(plain)
            }
            Job::Reconnect(containers) => Outcome::Reconnected(self.reconnect(containers)),
            Job::Watch { after, .. } => Outcome::Watched(self.watch(after, well)),
            Job::Kill { .. } => Outcome::Killed(self.with_shim(well, |world| {
                world.kill_all();
                world.shim().into_iter().for_each(|shim| shim.killed = true);
            })),
            Job::CleanUp { live, .. } => {
                if !well {
                    return Outcome::CleanedUp(Err(failed()));
                }
                self.kill_all();
                self.shim = None;
                Outcome::CleanedUp(Ok(live.into_iter().map(|id| (id.clone(), self.exits.get(&id).copied())).collect()))
            }
            Job::Release { attached, .. } => {
                self.kill_all();
                self.shim = None;
                self.network &= !(well && attached);
                self.group = self.group.filter(|_| !well);
                Outcome::Released(plain)
            }
            Job::LimitGroup(change) => {
                let limits = if well { &change.after } else { &change.before };
                self.group = Some(limits.cpu_shares);
                Outcome::GroupLimited(plain)
            }
            Job::RemoveFiles => {
                self.files &= !well;
                Outcome::FilesRemoved(plain)
            }
            Job::EndStray { .. } => Outcome::StrayEnded,
            Job::Discard(id) => {
                self.leases.remove(&id);
                Outcome::Discarded(id)
            }
            job => self.finish_container(job, well, overridden),
        }
    }

    fn finish_container(&mut self, job: Job<u32>, well: bool, overridden: bool) -> Outcome<u32> {
        match job {
            Job::Create { id, .. } => {
                if !well {
                    self.leases.remove(&id);
                }
                let record = Box::new(record(self.now));
                let created = if well { Ok(record) } else { Err(failed()) };
                Outcome::Container(id, ContainerOutcome::Created(created))
            }
            Job::Start(start) => {
                let at = self.now;
                let refused = self.shim().is_some_and(|shim| shim.killed);
                let started = self.with_shim(well && !overridden && !refused, |world| {
                    world.shim().into_iter().for_each(|shim| {
                        shim.tasks.insert(start.id.clone(), true);
                    });
                    world.limits.insert(start.id.clone(), start.spec.resources.clone());
                    Started { pid: 9, at, namespaces: None, exec: ExecBase::default() }
                });
                Outcome::Container(start.id, ContainerOutcome::Started(started))
            }
            Job::Stop { id, .. } => {
                let sent = self.with_shim(well, |world| {
                    world.ending.insert(id.clone());
                });
                Outcome::Container(id, ContainerOutcome::StopSent(sent))
            }
            Job::Update(update) => {
                let updated = if well { Ok(()) } else { Err(failed()) };
                // One that fails takes back what it did, and what an earlier one did.
                self.limits.insert(update.id.clone(), if well { update.after } else { update.before });
                Outcome::Container(update.id, ContainerOutcome::Updated(updated))
            }
            Job::Delete { id, .. } => {
                let deleted = self.with_shim(well, |world| {
                    world.shim().into_iter().for_each(|shim| {
                        shim.tasks.remove(&id);
                    });
                });
                Outcome::Container(id, ContainerOutcome::CleanedUp(deleted))
            }
            Job::Remove { id, shim } => {
                let mut removed = if well { Ok(()) } else { Err(JobError::Failed(failed())) };
                if shim.is_some() {
                    removed = self.with_shim(well, |world| {
                        world.shim().into_iter().for_each(|shim| {
                            shim.tasks.remove(&id);
                        });
                    });
                }
                if removed.is_ok() {
                    self.layers.remove(&id);
                    self.leases.remove(&id);
                }
                Outcome::Container(id, ContainerOutcome::Removed(removed))
            }
            other => panic!("no job of a container: {other:?}"),
        }
    }

    fn with_shim<T>(&mut self, well: bool, work: impl FnOnce(&mut Self) -> T) -> Result<T, JobError> {
        if self.shim().is_none() {
            return Err(JobError::Gone("dead".to_owned()));
        }
        if well { Ok(work(self)) } else { Err(JobError::Failed(failed())) }
    }

    fn watch(&mut self, after: u64, well: bool) -> Result<Vec<ShimEvent>, JobError> {
        let (repeats, exits) = (self.repeats, self.exits.clone());
        self.with_shim(well, |world| {
            let Some(shim) = world.shim() else { return Vec::new() };
            let told = shim.events.iter().filter(|(number, _)| repeats || *number > after);
            let told = told.map(|(number, id)| {
                let kind = match id {
                    Some(id) => ShimEventKind::Exited { id: id.to_string(), exit: exits[id] },
                    None => ShimEventKind::InitExited { code: 0 },
                };
                ShimEvent { number: *number, kind }
            });
            let told = told.collect();
            if !repeats {
                shim.events.retain(|(number, _)| *number > after);
            }
            told
        })
    }

    fn reconnect(&mut self, containers: Vec<(ContainerId, Expected)>) -> Result<Reconnected<u32>, ReconnectError> {
        // Recorded limits are set again, whatever becomes of the shim.
        self.group = self.recorded_group();
        let Some(shim) = self.shim() else { return Err(ReconnectError::Gone(failed())) };
        if shim.is_foreign {
            return Err(ReconnectError::Foreign(Foreign::TooOld { version: "0".to_owned(), speaks: 0 }));
        }
        let (is_ready, tasks) = (!shim.killed, shim.tasks.clone());
        let mut state = |(id, expected): (ContainerId, Expected)| {
            let state = match tasks.get(&id) {
                Some(true) => RecoveredState::Running { pid: 9 },
                Some(false) => RecoveredState::Ended(self.exits.get(&id).copied()),
                None if expected == Expected::Starting => {
                    self.layers.remove(&id);
                    RecoveredState::NotStarted
                }
                None => RecoveredState::Ended(self.exits.get(&id).copied()),
            };
            (id, state)
        };
        let states = containers.into_iter().map(&mut state).collect();
        let connected = Connected { shim: 1, pid: 7, namespaces: PodNamespaces::default() };
        Ok(Reconnected { connected, is_ready, states })
    }
}

fn record(now: i64) -> ContainerRecord {
    ContainerRecord {
        phase: ContainerPhase::Created,
        created_at: now,
        origin: ContainerOrigin::default(),
        made_from: MadeFrom::default(),
        user: UserIds::default(),
        stop_signal: 15,
        cgroup: PathBuf::from("/group").display().to_string(),
        stop_deadline: None,
        needs_cleanup: false,
        image_mounts: Vec::new(),
    }
}
