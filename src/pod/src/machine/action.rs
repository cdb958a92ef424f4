//! What a pod's machine wants to be done, in this order.

use std::sync::Arc;
use std::time::Duration;

use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use peapod_trace::StageKind;

use super::input::{ContainerOutcome, JobError, Outcome, Reply, Ticket, Timer};
use crate::container::{Expected, UpdateAttempt};
use crate::error::Error;
use crate::id::ContainerId;
use crate::namespaces::PodNamespaces;
use crate::record::{ContainerRecord, PodRecord};
use crate::stages;
use crate::view::PodEntry;

/// One thing to do. None is waited for.
#[derive(Debug)]
pub(crate) enum Action<S> {
    /// Begin to write rows, all or none. Its end is an input; no other commit comes before that.
    Commit(Vec<Row>),
    /// Show the pod so to readers.
    Publish(Box<PodEntry>),
    /// Show it no more.
    Hide,
    /// Tell who waits. A call that was given up has no use for it.
    Answer(Ticket, Result<Reply, Error>),
    /// Begin a job. Its end is an input.
    Run(Job<S>),
    /// Tell the job that starts a container that it is stopped, with the deadline.
    Override(ContainerId, i64),
    /// Give a job up: it ends at once.
    Cancel(JobKey),
    /// Give up all jobs that wait for the shim, which is gone.
    CancelShimJobs,
    /// Count that the shim is gone, which nobody had asked to end.
    CountLostShim,
    /// After that time, an input.
    Pause(Timer, Duration),
    /// The shim of calls that change no state: exec and log reopen.
    Expose(Option<S>),
    /// The pod is known as well as it will be: such calls need wait no longer.
    Recovered,
    /// A stage at which tests let the daemon die.
    Reached(&'static str),
    /// The pod is gone: its name is free. Whoever waits still is left without an answer.
    Forget,
}

/// A row of the database.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    Pod(Arc<PodSpec>, Box<PodRecord>),
    Container(ContainerId, Arc<ContainerSpec>, Box<ContainerRecord>),
    NoContainer(ContainerId),
    /// With all its containers.
    NoPod,
}

/// Work that takes time.
#[derive(Debug)]
pub(crate) enum Job<S> {
    /// Make the pod.
    SetUp,
    /// Undo a pod that an earlier daemon did not finish.
    TakeBack,
    /// Find the pod's shim again, and what became of those containers.
    Reconnect(Vec<(ContainerId, Expected)>),
    /// Wait for the shim's next events; all up to `after` are recorded, and forgotten by the shim.
    Watch {
        shim: S,
        after: u64,
    },
    /// Have the shim kill everything.
    Kill {
        shim: S,
    },
    /// Kill and unmount what a dead shim left, then read how these containers ended.
    CleanUp {
        live: Vec<ContainerId>,
        cgroups: Vec<String>,
    },
    /// End the shim, or clean up after it, and give the network back.
    Release {
        shim: Option<S>,
        attached: bool,
    },
    RemoveFiles,
    /// End and remove a container whose record can't be read.
    EndStray {
        shim: S,
        id: ContainerId,
    },
    /// Give back what a container took that was never made.
    Discard(ContainerId),
    Create {
        id: ContainerId,
        spec: Arc<ContainerSpec>,
        namespaces: PodNamespaces,
    },
    Start(Box<Start<S>>),
    Stop {
        shim: S,
        id: ContainerId,
        signal: u32,
        deadline: i64,
    },
    Update(Box<Update<S>>),
    /// Set other limits on the pod's own cgroup.
    LimitGroup(Box<GroupChange>),
    /// Have the shim give up what it holds of an ended container.
    Delete {
        shim: S,
        id: ContainerId,
    },
    /// Remove a container that has no process; from its shim too, if that holds something.
    Remove {
        shim: Option<S>,
        id: ContainerId,
    },
}

/// A container to be started.
#[derive(Debug)]
pub(crate) struct Start<S> {
    pub(crate) shim: S,
    pub(crate) id: ContainerId,
    pub(crate) spec: Arc<ContainerSpec>,
    pub(crate) record: ContainerRecord,
    pub(crate) namespaces: PodNamespaces,
    /// The process whose PID namespace is shared, for `PidMode::Target`.
    pub(crate) target: Option<u32>,
    /// The deadline of a stop that came before.
    pub(crate) stopped: Option<i64>,
}

/// A running container whose limits change.
#[derive(Debug)]
pub(crate) struct Update<S> {
    pub(crate) shim: S,
    pub(crate) id: ContainerId,
    pub(crate) cgroup: String,
    pub(crate) before: Resources,
    pub(crate) after: Resources,
    pub(crate) attempt: UpdateAttempt,
}

/// Limits of a pod as a whole that change.
#[derive(Clone, Debug)]
pub(crate) struct GroupChange {
    /// The path of its own cgroup.
    pub(crate) group: String,
    pub(crate) before: Resources,
    pub(crate) after: Resources,
}

/// Which job it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobKey {
    SetUp,
    TakeBack,
    Reconnect,
    Watch,
    Kill,
    CleanUp,
    Release,
    RemoveFiles,
    EndStray,
    Discard(ContainerId),
    Create(ContainerId),
    Start(ContainerId),
    Stop(ContainerId),
    Update(ContainerId),
    LimitGroup,
    Delete(ContainerId),
    /// Whether it needs the shim.
    Remove(ContainerId, bool),
}

impl<S> Job<S> {
    pub(crate) fn key(&self) -> JobKey {
        match self {
            Self::SetUp => JobKey::SetUp,
            Self::TakeBack => JobKey::TakeBack,
            Self::Reconnect(_) => JobKey::Reconnect,
            Self::Watch { .. } => JobKey::Watch,
            Self::Kill { .. } => JobKey::Kill,
            Self::CleanUp { .. } => JobKey::CleanUp,
            Self::Release { .. } => JobKey::Release,
            Self::RemoveFiles => JobKey::RemoveFiles,
            Self::EndStray { .. } => JobKey::EndStray,
            Self::Discard(id) => JobKey::Discard(id.clone()),
            Self::Create { id, .. } => JobKey::Create(id.clone()),
            Self::Start(start) => JobKey::Start(start.id.clone()),
            Self::Stop { id, .. } => JobKey::Stop(id.clone()),
            Self::Update(update) => JobKey::Update(update.id.clone()),
            Self::LimitGroup(_) => JobKey::LimitGroup,
            Self::Delete { id, .. } => JobKey::Delete(id.clone()),
            Self::Remove { id, shim } => JobKey::Remove(id.clone(), shim.is_some()),
        }
    }
}

impl JobKey {
    /// The container that it is about.
    pub(crate) fn container(&self) -> Option<&ContainerId> {
        match self {
            Self::Create(id) | Self::Start(id) | Self::Stop(id) | Self::Update(id) => Some(id),
            Self::Delete(id) | Self::Remove(id, _) | Self::Discard(id) => Some(id),
            Self::SetUp | Self::TakeBack | Self::Reconnect | Self::Watch | Self::Kill => None,
            Self::CleanUp | Self::Release | Self::RemoveFiles | Self::EndStray | Self::LimitGroup => None,
        }
    }

    /// What it is as a stage of calls that wait for it.
    pub(crate) fn stage(&self) -> &'static StageKind {
        match self {
            Self::SetUp => &stages::SET_UP,
            Self::TakeBack => &stages::TAKE_BACK,
            Self::Reconnect => &stages::RECONNECT,
            Self::Watch => &stages::WATCH,
            Self::Kill => &stages::KILL,
            Self::CleanUp => &stages::CLEAN_UP,
            Self::Release => &stages::RELEASE,
            Self::RemoveFiles | Self::Remove(..) => &stages::REMOVE,
            Self::EndStray | Self::Discard(_) => &stages::DISCARD,
            Self::Create(_) => &stages::CREATE,
            Self::Start(_) => &stages::START,
            Self::Stop(_) => &stages::STOP,
            Self::Update(_) | Self::LimitGroup => &stages::UPDATE,
            Self::Delete(_) => &stages::DELETE,
        }
    }

    /// The stage of its own in which it begins, if it has any.
    pub(crate) fn first_stage(&self) -> Option<&'static StageKind> {
        match self {
            Self::SetUp => Some(&stages::FOLDER),
            Self::Create(_) => Some(&stages::LAYERS),
            Self::Start(_) | Self::Remove(..) => Some(&stages::TURN),
            _ => None,
        }
    }

    /// Whether it waits for the pod's shim. One that ends the shim does not count.
    pub(crate) fn needs_shim(&self) -> bool {
        match self {
            Self::Watch | Self::Kill | Self::EndStray => true,
            Self::Start(_) | Self::Stop(_) | Self::Update(_) | Self::Delete(_) => true,
            Self::Remove(_, needed) => *needed,
            Self::SetUp | Self::TakeBack | Self::Reconnect | Self::CleanUp | Self::Release | Self::RemoveFiles => false,
            Self::Discard(_) | Self::Create(_) | Self::LimitGroup => false,
        }
    }

    /// What a job ends with that was given up.
    pub(crate) fn cancelled<S>(self) -> Option<Outcome<S>> {
        let ended =
            Error::Failed { step: "update the container".to_owned(), reason: "it ended, or its shim did".to_owned() };
        self.failed(JobError::Gone("its connection was given up".to_owned()), ended)
    }

    /// What a job ends with that panicked. None where nobody can know how far it came: the pod is taken up from its
    /// record then.
    pub(crate) fn panicked<S>(self) -> Option<Outcome<S>> {
        let defect = |what| Error::Defect { what };
        let error = match &self {
            Self::Create(_) => defect("the container"),
            Self::Stop(_) => defect("the container's stop"),
            Self::Update(_) => defect("the container's update"),
            Self::Delete(_) | Self::Remove(..) => defect("the container's removal"),
            Self::RemoveFiles => defect("the pod's removal"),
            _ => defect("the pod's stop"),
        };
        match self {
            // What was made, nobody knows; and limits that are recorded are set again then.
            Self::SetUp | Self::Start(_) | Self::TakeBack | Self::Reconnect | Self::LimitGroup => None,
            key => key.failed(JobError::Failed(error.clone()), error),
        }
    }

    fn failed<S>(self, why: JobError, error: Error) -> Option<Outcome<S>> {
        let of = |id, outcome| Some(Outcome::Container(id, outcome));
        match self {
            Self::SetUp | Self::TakeBack | Self::Reconnect => None,
            Self::Watch => Some(Outcome::Watched(Err(why))),
            Self::Kill => Some(Outcome::Killed(Err(why))),
            Self::CleanUp => Some(Outcome::CleanedUp(Err(error))),
            Self::Release => Some(Outcome::Released(Err(error))),
            Self::RemoveFiles => Some(Outcome::FilesRemoved(Err(error))),
            Self::EndStray => Some(Outcome::StrayEnded),
            Self::Discard(id) => Some(Outcome::Discarded(id)),
            Self::Create(id) => of(id, ContainerOutcome::Created(Err(error))),
            Self::Start(id) => of(id, ContainerOutcome::Started(Err(why))),
            Self::Stop(id) => of(id, ContainerOutcome::StopSent(Err(why))),
            Self::Update(id) => of(id, ContainerOutcome::Updated(Err(error))),
            Self::LimitGroup => Some(Outcome::GroupLimited(Err(error))),
            Self::Delete(id) => of(id, ContainerOutcome::CleanedUp(Err(why))),
            Self::Remove(id, _) => of(id, ContainerOutcome::Removed(Err(why))),
        }
    }
}
