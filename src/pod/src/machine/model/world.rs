//! What a pod's jobs work on: a shim, files, layers, a network, a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use peapod_shim_protocol::exit::Exit;
use peapod_spec::container::Resources;

use super::disk::Disk;
use crate::container::{ExecBase, Expected, RecoveredState};
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{
    Connected, ContainerOutcome, Job, JobError, Outcome, ReconnectError, Reconnected, SetUp, ShimEvent, ShimEventKind,
    Started,
};
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerPhase, ContainerRecord};
use crate::shim::Foreign;

/// A pod's shim.
#[derive(Debug, Default)]
pub(super) struct SimShim {
    pub(super) is_dead: bool,
    /// Not to be driven by the daemon of now.
    pub(super) is_foreign: bool,
    /// The daemon has begun to end it.
    is_released: bool,
    /// Everything in it was killed, and nothing can be started any more.
    pub(super) killed: bool,
    init_ended: bool,
    /// Whether the process lives.
    pub(super) tasks: BTreeMap<ContainerId, bool>,
    events: Vec<(u64, Option<ContainerId>)>,
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

fn failed() -> Error {
    Error::Failed { step: "job".to_owned(), reason: "made to fail".to_owned() }
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
        note(!self.leases.is_empty(), "a lease");
        note(!self.layers.is_empty(), "a layer");
        left
    }

    /// What a new daemon sweeps away: whatever no record leads to.
    pub(super) fn sweep(&mut self) {
        if self.disk.pod.is_none() {
            (self.shim, self.network, self.files) = (None, false, false);
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

    fn kill_all(&mut self) {
        let tasks: Vec<_> = self.shim.iter().flat_map(|shim| shim.tasks.keys().cloned()).collect();
        for id in tasks {
            self.exit(&id);
        }
    }

    /// What exists as soon as a job has begun, and what it may not find.
    pub(super) fn begin(&mut self, job: &Job<u32>) {
        match job {
            Job::SetUp => {
                assert!(self.shim.is_none() && !self.network && !self.files, "a second pod is made");
                assert!(self.disk.pod.is_some(), "a pod is made without a record");
                (self.shim, self.network, self.files) = (Some(SimShim::default()), true, true);
            }
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
            }
            _ => {}
        }
    }

    /// What runs, with the limits that are in force and those that are recorded.
    pub(super) fn running_limits(&self) -> impl Iterator<Item = (&ContainerId, &Resources, &Resources)> {
        let limits = self.limits.iter();
        let limits = limits.filter(|(id, _)| self.alive(id) == Some(true) && !self.unsure.contains(*id));
        limits.filter_map(|(id, limits)| Some((id, limits, &self.disk.containers.get(id)?.0.resources)))
    }

    fn alive(&self, id: &ContainerId) -> Option<bool> {
        self.shim.as_ref().and_then(|shim| shim.tasks.get(id).copied())
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
                (self.shim, self.network, self.files) = (None, false, false);
                Outcome::SetUp(Err(failed()))
            }
            Job::TakeBack => {
                if well {
                    (self.shim, self.network, self.files) = (None, false, false);
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
                Outcome::Released(plain)
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
        image_id: String::new(),
        image_name: String::new(),
        image_ref: String::new(),
        image: None,
        user: peapod_spec::UserIds::default(),
        stop_signal: 15,
        cgroup: PathBuf::from("/group").display().to_string(),
        stop_deadline: None,
        needs_cleanup: false,
    }
}
