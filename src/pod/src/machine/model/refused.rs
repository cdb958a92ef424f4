//! Requests that are refused change nothing, and say why.

use peapod_spec::container::Resources;

use super::checks::Asked;
use super::moves::Habits;
use super::simulation::Simulation;
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{JobKey, Request};
use crate::record::ContainerPhase;

impl Simulation {
    /// Why a request is refused at once, if it is.
    fn refusal(&mut self, asked: Asked, request: Request) -> Option<String> {
        self.refused = None;
        self.ask(asked, request);
        self.refused.take().map(|(_, error)| match error {
            Error::Precondition { state, .. } => state,
            error => error.to_string(),
        })
    }

    fn start_again(&mut self, id: &ContainerId) -> Option<String> {
        self.refusal(Asked::Start(id.clone()), Request::Start(id.clone(), Ok(())))
    }

    fn update_of(&mut self, id: &ContainerId) {
        let limit = self.next().to_string();
        let mut change = Resources::default();
        change.hugepage_limits.insert(limit.clone(), 1);
        self.ask(Asked::Update(id.clone(), limit), Request::Update(id.clone(), Box::new(change)));
    }

    fn finish(&mut self, which: impl Fn(&JobKey) -> bool, well: bool) {
        let index = self.jobs.iter().position(|running| which(&running.key)).expect("such a job");
        self.finish_job(index, well);
    }
}

/// A pod with two containers, of which the first one runs.
fn begun() -> (Simulation, ContainerId, ContainerId) {
    let life = Simulation::new(&Habits::new(12 * 4));
    let [first, second] = life.known.clone().try_into().expect("two containers");
    (life, first, second)
}

#[test]
fn an_update_that_is_refused_leaves_the_start_open() {
    let (mut life, running, _) = begun();
    let is_update = |key: &JobKey| matches!(key, JobKey::Update(_));
    for (well, expected) in [(false, None), (true, Some("running".to_owned()))] {
        let limit = life.next().to_string();
        let mut change = Resources::default();
        change.hugepage_limits.insert(limit.clone(), 1);
        let request = Request::Update(running.clone(), Box::new(change));
        assert_eq!(life.refusal(Asked::Update(running.clone(), limit), request), None);
        life.finish_commit(true);
        life.finish(is_update, well);
        life.finish_commit(true);
        assert_eq!(life.start_again(&running), expected, "after an update, carried out: {well}");
    }
}

fn limits_group(key: &JobKey) -> bool {
    *key == JobKey::LimitGroup
}

#[test]
fn limits_of_a_pods_own_group_are_recorded_once_they_are_in_force() {
    let (mut life, ..) = begun();
    assert_eq!(life.world.group, Some(0), "a pod with a group of its own");
    life.update_pod();
    life.update_pod();
    assert!(life.commit.is_none(), "recorded before it is in force");
    life.finish(limits_group, false);
    assert!(matches!(life.refused.take(), Some((Asked::UpdatePod(_), Error::Failed { .. }))));
    assert_eq!((life.world.group, life.world.recorded_group()), (Some(0), Some(0)));
    life.finish(limits_group, true);
    assert_eq!(life.waiting.len(), 1, "answered before it is on disk");
    life.finish_commit(true);
    assert!(life.waiting.is_empty() && life.refused.is_none(), "{:?}", life.refused);
    assert!(life.world.group > Some(0));
    life.settle();
    life.check_limits();
}

#[test]
fn a_death_between_setting_and_recording_limits_goes_back() {
    let (mut life, ..) = begun();
    life.update_pod();
    life.finish(limits_group, true);
    assert_ne!(life.world.group, life.world.recorded_group());
    // The commit is not on disk, and nothing is foreign.
    life.die(1);
    life.settle();
    assert_eq!((life.world.group, life.world.recorded_group()), (Some(0), Some(0)));
}

#[test]
fn a_stop_waits_for_limits_that_are_being_set() {
    let (mut life, ..) = begun();
    life.update_pod();
    life.ask(Asked::StopPod, Request::StopPod);
    while let Some(index) =
        life.jobs.iter().position(|running| !limits_group(&running.key) && life.can_finish(running, true))
    {
        life.finish_job(index, true);
        while life.commit.is_some() {
            life.finish_commit(true);
        }
    }
    assert!(!life.keys().contains(&&JobKey::Release), "{:?}", life.keys());
    life.finish(limits_group, true);
    life.settle();
    assert_eq!(life.world.group, None, "its group goes with the stop");
    life.update_pod();
    life.settle();
    assert!(life.refused.is_none() && life.world.recorded_group() > Some(0), "recorded of one that is stopped");
}

#[test]
fn updates_of_a_pod_that_wait_are_counted() {
    let (mut life, ..) = begun();
    (0..=crate::bounds::UPDATES_WAITING).for_each(|_| life.update_pod());
    let refused = life.refused.take().map(|(_, error)| error.to_string()).unwrap_or_default();
    assert!(refused.contains("15 further updates wait"), "{refused}");
    life.settle();
}

#[test]
fn updates_that_wait_are_counted() {
    let (mut life, running, _) = begun();
    let mut refused = None;
    let mut waiting = 0;
    while refused.is_none() {
        waiting += 1;
        let request = Request::Update(running.clone(), Box::default());
        refused = life.refusal(Asked::Update(running.clone(), String::new()), request);
    }
    assert_eq!(waiting, crate::bounds::UPDATES_WAITING + 1);
    assert_eq!(refused.as_deref(), Some("being updated, and 15 further updates wait"));
}

#[test]
fn a_removal_is_over_once_it_is_on_disk() {
    let (mut life, _, created) = begun();
    let remove = || (Asked::Remove(created.clone()), Request::Remove(created.clone()));
    let stop = || (Asked::Stop(created.clone()), Request::Stop(created.clone(), 0));
    let (asked, request) = remove();
    life.ask(asked, request);
    assert_eq!(life.start_again(&created).as_deref(), Some("being removed"));
    life.finish(|key| matches!(key, JobKey::Remove(..)), true);
    for well in [false, true] {
        assert_eq!(life.start_again(&created).as_deref(), Some("being removed"));
        for (asked, request) in [remove(), stop()] {
            assert_eq!(life.refusal(asked, request), None);
        }
        assert!(life.waiting.len() >= 2, "answered before it is on disk");
        life.finish_commit(well);
        assert!(life.waiting.is_empty(), "nobody answers {:?}", life.waiting);
        let shown = life.shown.as_ref().expect("the pod");
        assert_eq!(shown.containers.contains_key(&created), !well, "shown while it is recorded");
        life.fire();
    }
    let error = life.start_again(&created).expect("it is gone");
    assert!(error.ends_with("not found"), "{error}");
}

#[test]
fn a_stop_of_what_never_ran_is_over_once_it_is_on_disk() {
    let (mut life, _, created) = begun();
    let stop = || (Asked::Stop(created.clone()), Request::Stop(created.clone(), 0));
    for _ in 0..2 {
        let (asked, request) = stop();
        life.ask(asked, request);
        assert_eq!(life.waiting.len(), 1, "answered before it is on disk");
        life.fire();
        life.finish_commit(false);
        assert!(matches!(life.refused.take(), Some((Asked::Stop(_), _))), "a stop succeeds that is not on disk");
    }
    let (asked, request) = stop();
    life.ask(asked, request);
    life.fire();
    life.finish_commit(true);
    assert!(life.waiting.is_empty() && life.refused.is_none(), "{:?}", life.refused);
}

#[test]
fn a_stop_that_fails_late_leaves_a_removal_alone() {
    let (mut life, running, _) = begun();
    life.ask(Asked::Stop(running.clone()), Request::Stop(running.clone(), 50));
    life.ask(Asked::Remove(running.clone()), Request::Remove(running.clone()));
    life.world.exit(&running);
    life.finish(|key| matches!(key, JobKey::Watch), true);
    while life.commit.is_some() {
        life.finish_commit(true);
    }
    life.finish(|key| matches!(key, JobKey::Delete(_)), true);
    assert!(life.keys().iter().any(|key| matches!(key, JobKey::Remove(..))), "{:?}", life.keys());
    life.finish(|key| matches!(key, JobKey::Stop(_)), false);
    assert!(life.refused.is_none(), "{:?}", life.refused);
    life.settle();
    assert!(!life.world.disk.containers.contains_key(&running));
}

#[test]
fn an_update_that_a_death_interrupts_is_carried_out_again() {
    for done in [false, true] {
        let (mut life, running, _) = begun();
        life.update_of(&running);
        life.finish_commit(true);
        assert!(life.keys().iter().any(|key| matches!(key, JobKey::Update(_))), "{:?}", life.keys());
        // Its bits say which jobs had done nothing.
        life.die(if done { 0x200 } else { 0x1fe });
        life.settle();
        life.check_limits();
        let (spec, record) = &life.world.disk.containers[&running];
        assert_eq!(spec.resources.hugepage_limits.len(), 1, "done: {done}");
        assert!(matches!(record.phase, ContainerPhase::Running { updating: None, .. }), "{:?}", record.phase);
    }
}

#[test]
fn an_update_that_cannot_be_recorded_changes_nothing() {
    let (mut life, running, _) = begun();
    life.update_of(&running);
    life.finish_commit(false);
    assert!(matches!(life.refused.take(), Some((Asked::Update(..), Error::Failed { .. }))));
    life.settle();
    life.check_limits();
    assert!(life.world.disk.containers[&running].0.resources.hugepage_limits.is_empty());
}
