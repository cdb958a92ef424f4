//! What a pod's machine is told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_shim_protocol::exit::Exit;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::{PodResources, PodSpec};

use crate::container::{ExecBase, RecoveredState};
use crate::error::Error;
use crate::id::ContainerId;
use crate::listed::Share;
use crate::namespaces::PodNamespaces;
use crate::record::ContainerRecord;
use crate::shim::Foreign;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// The clocks at the moment of an input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Now {
    /// Nanoseconds since the epoch.
    pub(crate) realtime: i64,
    /// CLOCK_BOOTTIME in nanoseconds: what stop deadlines are counted in.
    pub(crate) boottime: i64,
}

/// Something that happened. `S` is a connection to a shim, of which the machine knows nothing but that it has it.
#[derive(Debug)]
pub(crate) enum Input<S> {
    /// The first one of each machine.
    Begin,
    /// A call came.
    Request(Ticket, Request),
    /// These calls' clients left. What they asked for goes on.
    Left(Vec<Ticket>),
    /// A job is over.
    Outcome(Outcome<S>),
    /// The commit that was begun last is over.
    Committed(Result<(), Error>),
    /// A pause that was asked for is over.
    Timer(Timer),
}

/// Why a pause was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// A commit failed.
    Commit,
    /// A shim that is there told no events.
    Watch,
}

/// What a client wants.
#[derive(Debug)]
pub(crate) enum Request {
    /// The pod: its making is joined, or its result given again.
    Run(Arc<PodSpec>),
    /// The pod stopped.
    StopPod,
    /// The pod removed with its containers.
    RemovePod,
    /// What the client has made of the pod's cgroup, recorded; set if that is the pod's own.
    UpdatePod(Box<PodResources>),
    /// A container made.
    Create(Box<NewContainer>),
    /// One started.
    Start(ContainerId, Startable),
    /// One stopped, killed at the deadline: CLOCK_BOOTTIME in nanoseconds.
    Stop(ContainerId, i64),
    /// One removed.
    Remove(ContainerId),
    /// Its limits changed.
    Update(ContainerId, Box<Resources>),
}

/// Whether a container can be started for all that only I/O or the configuration tells, as of the request: the disks
/// have room, and the pod's handler is there.
pub(crate) type Startable = Result<(), Error>;

/// A container to be, with what only I/O can provide for it.
#[derive(Debug)]
pub(crate) struct NewContainer {
    /// Its id, if it is made.
    pub(crate) id: ContainerId,
    pub(crate) spec: ContainerSpec,
    /// What it takes in lists, or why there is no room for it.
    pub(crate) admitted: Result<Share, Error>,
}

/// What a call that succeeds is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is done.
    Done,
    /// The container that was made.
    Created(ContainerId),
}

/// Why a job that needs the pod's shim came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The shim is gone, or as good as that.
    #[error("{0}")]
    Gone(String),
    /// The shim is there.
    #[error("{0}")]
    Failed(Error),
}

impl JobError {
    /// The same for a client.
    pub(crate) fn into_error(self, step: &str) -> Error {
        match self {
            Self::Gone(reason) => Error::Failed { step: step.to_owned(), reason },
            Self::Failed(error) => error,
        }
    }
}

/// What a job ended with.
#[derive(Debug)]
pub(crate) enum Outcome<S> {
    /// After an error nothing of the pod is left.
    SetUp(Result<SetUp<S>, Error>),
    /// A pod that an earlier daemon did not finish is undone.
    TakenBack(Result<(), Error>),
    Reconnected(Result<Reconnected<S>, ReconnectError>),
    Watched(Result<Vec<ShimEvent>, JobError>),
    /// The shim killed all containers and pod init.
    Killed(Result<(), JobError>),
    /// What a dead shim left is gone; each container's exit file, if it has one.
    CleanedUp(Result<Vec<(ContainerId, Option<Exit>)>, Error>),
    /// Network and shim are given back.
    Released(Result<(), Error>),
    FilesRemoved(Result<(), Error>),
    /// Other limits are in force on the pod's own cgroup; after an error those of before.
    GroupLimited(Result<(), Error>),
    /// A container whose record can't be read is ended, or will be with the pod.
    StrayEnded,
    /// What a container took that was never made is given back, or stays until the next start.
    Discarded(ContainerId),
    Container(ContainerId, ContainerOutcome),
}

impl<S> Outcome<S> {
    /// What went wrong, in words. That a pod's shim is gone is no failure of who looked for it.
    pub(crate) fn error(&self) -> Option<String> {
        match self {
            Self::SetUp(Err(error)) | Self::TakenBack(Err(error)) | Self::CleanedUp(Err(error)) => {
                Some(error.to_string())
            }
            Self::Released(Err(error)) | Self::FilesRemoved(Err(error)) => Some(error.to_string()),
            Self::GroupLimited(Err(error)) => Some(error.to_string()),
            Self::Killed(Err(error)) => Some(error.to_string()),
            Self::Container(_, outcome) => outcome.error(),
            _ => None,
        }
    }
}

/// The same of jobs of one container.
#[derive(Debug)]
pub(crate) enum ContainerOutcome {
    /// After an error nothing is kept for it.
    Created(Result<Box<ContainerRecord>, Error>),
    /// After an error nothing of it runs.
    Started(Result<Started, JobError>),
    /// The shim knows of the stop.
    StopSent(Result<(), JobError>),
    Updated(Result<(), Error>),
    /// The shim gave up what it held of an ended container.
    CleanedUp(Result<(), JobError>),
    Removed(Result<(), JobError>),
}

impl ContainerOutcome {
    fn error(&self) -> Option<String> {
        match self {
            Self::Created(Err(error)) | Self::Updated(Err(error)) => Some(error.to_string()),
            Self::Started(Err(error)) => Some(error.to_string()),
            Self::StopSent(Err(error)) | Self::CleanedUp(Err(error)) | Self::Removed(Err(error)) => {
                Some(error.to_string())
            }
            _ => None,
        }
    }

    /// Why the shim is gone, if that is why the job came to nothing.
    pub(crate) fn shim_is_gone(&self) -> Option<String> {
        match self {
            Self::Started(Err(JobError::Gone(reason))) => Some(reason.clone()),
            Self::StopSent(Err(error)) | Self::CleanedUp(Err(error)) | Self::Removed(Err(error)) => match error {
                JobError::Gone(reason) => Some(reason.clone()),
                JobError::Failed(_) => None,
            },
            _ => None,
        }
    }
}

/// A connection to a shim, with what it says of itself.
#[derive(Debug)]
pub(crate) struct Connected<S> {
    pub(crate) shim: S,
    pub(crate) pid: u32,
    pub(crate) namespaces: PodNamespaces,
}

/// A pod that was made.
#[derive(Debug)]
pub(crate) struct SetUp<S> {
    pub(crate) connected: Connected<S>,
    /// Has an attachment to a network.
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) netns: Option<PathBuf>,
}

/// A pod whose shim lives.
#[derive(Debug)]
pub(crate) struct Reconnected<S> {
    pub(crate) connected: Connected<S>,
    /// Containers can run in it: nobody had the shim stop it.
    pub(crate) is_ready: bool,
    /// Of the containers that had, or may have had, a process. One that is missing counts as it was recorded.
    pub(crate) states: Vec<(ContainerId, RecoveredState)>,
}

/// Why a pod can't be driven.
#[derive(Debug)]
pub(crate) enum ReconnectError {
    /// It has no shim that answers.
    Gone(Error),
    /// It has one of another age: its containers run on.
    Foreign(Foreign),
}

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    /// Nanoseconds since the epoch.
    pub(crate) at: i64,
    /// The pod's namespaces, if the start made pod init.
    pub(crate) namespaces: Option<PodNamespaces>,
    /// What commands in it begin with.
    pub(crate) exec: ExecBase,
}

/// Something that the shim saw.
#[derive(Debug)]
pub(crate) struct ShimEvent {
    /// Counts up from 1.
    pub(crate) number: u64,
    pub(crate) kind: ShimEventKind,
}

#[derive(Debug)]
pub(crate) enum ShimEventKind {
    /// A container's processes are gone.
    Exited { id: String, exit: Exit },
    /// Pod init is.
    InitExited { code: u32 },
    /// What is told in other ways too.
    Other,
}
