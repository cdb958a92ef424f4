//! What must hold at each step.

use std::collections::BTreeMap;

use peapod_spec::pod::PodSpec;

use super::disk::Disk;
use super::world::World;
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{Awaited, Job, JobKey, Reply};
use crate::record::{ContainerPhase, PodPhase};
use crate::view::{ContainerState, PodEntry, PodState};

/// What a call was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Run,
    StopPod,
    RemovePod,
    /// Each has more shares than those before.
    UpdatePod(i64),
    Create,
    Start(ContainerId),
    Stop(ContainerId),
    Remove(ContainerId),
    /// The change has a limit of this name that no other has.
    Update(ContainerId, String),
}

/// A success that is told is on disk; what happened may at least not be on its way there.
pub(super) fn success(asked: &Asked, reply: &Reply, world: &World, tried: &Disk) {
    let disk = &world.disk;
    match (asked, reply) {
        (Asked::Run, Reply::Done) => {
            let phase = disk.pod.as_ref().map(|pod| pod.phase);
            assert!(
                phase.is_some_and(|phase| phase != PodPhase::Setup),
                "a pod is told before it is recorded: {phase:?}"
            );
        }
        (Asked::Create, Reply::Created(id)) => {
            assert!(disk.phase(id).is_some(), "a container is told before it is recorded");
        }
        (Asked::Start(id), Reply::Done) => {
            let phase = tried.phase(id);
            let begun = matches!(phase, Some(ContainerPhase::Running { .. } | ContainerPhase::Exited(_)) | None);
            assert!(begun, "a start is told before it is recorded: {phase:?}");
        }
        (Asked::Stop(id), Reply::Done) => {
            let phase = tried.phase(id);
            let over = matches!(phase, Some(ContainerPhase::Exited(_)) | None);
            assert!(over, "an end is told before it is recorded: {phase:?}");
            // Of what ran an exit file tells, too.
            let created = matches!(disk.phase(id), Some(ContainerPhase::Created));
            assert!(!created, "a container is told to be stopped that can be started");
        }
        (Asked::Remove(id), Reply::Done) => {
            assert!(disk.phase(id).is_none(), "a removal is told before it is recorded");
        }
        (Asked::Update(id, limit), Reply::Done) => {
            let Some((spec, _)) = disk.containers.get(id) else { return };
            let limits = &spec.resources.hugepage_limits;
            assert!(limits.contains_key(limit), "a change is lost: {limit} is not among {limits:?}");
        }
        (Asked::UpdatePod(shares), Reply::Done) => {
            let Some(spec) = &disk.pod_spec else { return };
            let recorded = pod_shares(spec);
            assert!(recorded >= *shares, "a pod's update is told before it is recorded: {shares} and {recorded}");
        }
        (Asked::StopPod, Reply::Done) => {
            let phase = disk.pod.as_ref().map(|pod| pod.phase);
            assert!(matches!(phase, None | Some(PodPhase::Stopped)), "a stop is told before it is recorded: {phase:?}");
        }
        (Asked::RemovePod, Reply::Done) => {
            assert!(disk.pod.is_none(), "a removal is told before it is recorded");
            let left = world.left();
            assert!(left.iter().all(|left| left == "a lease"), "a pod is removed, but there is {left:?}");
        }
        (asked, reply) => panic!("{asked:?} is answered with {reply:?}"),
    }
}

/// Of what was told last of a pod's cgroup.
pub(super) fn pod_shares(spec: &PodSpec) -> i64 {
    spec.resources.as_ref().map_or(0, |resources| resources.cpu_shares)
}

/// Who is told that something is gone takes it for removed: then its record is gone, too. A removal that is told to
/// have failed does not go on.
pub(super) fn refusal<'a>(asked: &Asked, error: &Error, disk: &Disk, mut running: impl Iterator<Item = &'a JobKey>) {
    if let Asked::Remove(id) = asked {
        let goes_on = running.any(|key| matches!(key, JobKey::Remove(removed, _) if removed == id));
        assert!(!goes_on, "a removal is told to have failed ({error}) that goes on");
    }
    let Error::NotFound { what, id } = error else { return };
    let recorded = match *what {
        "container" => disk.containers.contains_key(id.as_str()),
        // One that was never made is undone by the next daemon before anyone sees it.
        _ => disk.pod.as_ref().is_some_and(|pod| pod.phase != PodPhase::Setup),
    };
    assert!(!recorded, "{asked:?} is told that the {what} is gone, which is recorded");
}

/// What excludes each other never runs at once.
pub(super) fn exclusive<'a>(job: &Job<u32>, running: impl Iterator<Item = &'a JobKey>) {
    let key = job.key();
    for other in running {
        let together = match (key.container(), other.container()) {
            // A stop overrides whatever is done to its container.
            (Some(one), Some(two)) => one != two || matches!(key, JobKey::Stop(_)) || matches!(other, JobKey::Stop(_)),
            (Some(_), None) => !(works_in_shim(&key) && *other == JobKey::CleanUp || *other == JobKey::TakeBack),
            (None, Some(_)) => !(works_in_shim(other) && matches!(key, JobKey::CleanUp | JobKey::Release)),
            (None, None) => {
                let no_group = |key: &JobKey| is_end(key) || matches!(key, JobKey::SetUp | JobKey::Reconnect);
                let limits = [(&key, other), (other, &key)].into_iter().find(|(one, _)| **one == JobKey::LimitGroup);
                match limits {
                    Some((_, other)) => *other != JobKey::LimitGroup && !no_group(other),
                    None => key != *other && (is_harmless(&key) || is_harmless(other)),
                }
            }
        };
        assert!(together, "{key:?} begins while {other:?} is under way");
    }
}

fn is_harmless(key: &JobKey) -> bool {
    matches!(key, JobKey::Watch | JobKey::Kill | JobKey::EndStray)
}

/// What the pod's own cgroup goes with, or has gone with.
fn is_end(key: &JobKey) -> bool {
    matches!(key, JobKey::Release | JobKey::RemoveFiles | JobKey::TakeBack)
}

fn works_in_shim(key: &JobKey) -> bool {
    matches!(key, JobKey::Start(_) | JobKey::Update(_) | JobKey::Delete(_) | JobKey::Remove(_, true))
}

/// A call that is not answered waits for something, and for nothing that others asked for.
pub(super) fn awaited(asked: &Asked, awaited: Option<Awaited<'_>>) {
    let is_its = match (asked, awaited) {
        (_, None) => false,
        (_, Some(Awaited::Recovery | Awaited::Record)) => true,
        (Asked::Run, Some(awaited)) => awaited == Awaited::SetUp,
        (Asked::StopPod | Asked::RemovePod, Some(awaited)) => awaited == Awaited::PodEnd,
        (Asked::UpdatePod(_), Some(awaited)) => awaited == Awaited::Limits,
        (Asked::Create, Some(awaited)) => matches!(awaited, Awaited::Container(_)),
        (Asked::Start(id) | Asked::Stop(id) | Asked::Remove(id) | Asked::Update(id, _), Some(awaited)) => {
            awaited == Awaited::Container(id)
        }
    };
    assert!(is_its, "{asked:?} waits for {awaited:?}");
}

/// What is shown is what was committed, or could not be.
pub(super) fn shown(entry: &PodEntry, tried: &Disk) {
    let record = tried.pod.as_ref().expect("what is shown is recorded");
    match entry.pod.state {
        PodState::Ready => assert_eq!(record.phase, PodPhase::Ready, "shown as ready"),
        PodState::NotReady => assert_ne!(record.phase, PodPhase::Setup, "shown before it was made"),
    }
    let shown: BTreeMap<_, _> = entry.containers.iter().map(|(id, view)| (id, state(&view.state))).collect();
    let recorded: BTreeMap<_, _> =
        tried.containers.iter().map(|(id, (_, record))| (id, phase(&record.phase))).collect();
    assert_eq!(shown.keys().collect::<Vec<_>>(), recorded.keys().collect::<Vec<_>>(), "other containers are shown");
    for (id, shown) in shown {
        // An end that an exit file tells is shown before it is recorded; and one that is not recorded any more because
        // the record is to go.
        let early = shown == "exited" && (recorded[id] == "running" || tried.stuck.contains(id));
        let same = shown == recorded[id] || early;
        assert!(same, "{} is shown as {shown} and recorded as {}", id.short(), recorded[id]);
    }
}

fn state(state: &ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "created",
        ContainerState::Running { .. } => "running",
        ContainerState::Exited { .. } => "exited",
    }
}

fn phase(phase: &ContainerPhase) -> &'static str {
    match phase {
        ContainerPhase::Created | ContainerPhase::Starting => "created",
        ContainerPhase::Running { .. } => "running",
        ContainerPhase::Exited(_) => "exited",
    }
}
