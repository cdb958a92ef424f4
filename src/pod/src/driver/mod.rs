//! One driver per pod: the only writer of that pod's state and record.
//!
//! A driver takes requests and the completions of its own child tasks, decides, starts further child tasks, and answers.
//! It never awaits work, so a slow step delays nothing else in the pod. What it decided goes the same way each time:
//!
//! ```text
//! request or completion ─▶ state ─▶ commit ─▶ snapshot ─▶ effects: answers, and what must not begin before the commit
//! ```
//!
//! Only one commit of a pod is under way at a time; what is decided meanwhile goes with the next one.

mod answer;
mod completions;
mod containers;
mod events;
mod flush;
mod life;
mod recovery;
mod requests;
mod state;
mod stopping;
mod updates;
mod view;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension::Event;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::container::{Prepared, Started};
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::recover::{Found, Lost};
use crate::sandbox::SetUp;
use crate::shim::{Shim, ShimError};

pub(crate) use events::ended;
pub(crate) use state::Pod;
pub(crate) use view::entry;

/// How many requests may wait for a driver. It takes them faster than anyone sends them.
const INBOX: usize = 64;

/// Who waits for an operation.
pub(crate) type Waiter<T> = oneshot::Sender<Result<T, Error>>;

/// What a driver is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Join the pod's making, or take its result if nobody received it.
    Run { spec: Arc<PodSpec>, answer: Waiter<PodId> },
    /// Stop the pod.
    StopPod { answer: Waiter<()> },
    /// Remove the pod with its containers.
    RemovePod { answer: Waiter<()> },
    /// Make a container.
    Create { spec: Box<ContainerSpec>, answer: Waiter<ContainerId> },
    /// Start one.
    Start { id: ContainerId, answer: Waiter<()> },
    /// Stop one; the deadline is CLOCK_BOOTTIME in nanoseconds.
    Stop { id: ContainerId, deadline: i64, answer: Waiter<()> },
    /// Remove one.
    Remove { id: ContainerId, answer: Waiter<()> },
    /// Change its limits.
    Update { id: ContainerId, change: Box<Resources>, answer: Waiter<()> },
    /// Let go of everything as it is.
    Close,
}

/// What a child task ended with.
#[derive(Debug)]
pub(crate) enum Done {
    SetUp(Result<SetUp, Error>),
    Recovered(Result<Found, Lost>),
    /// A pod that an earlier daemon did not finish is undone.
    TakenBack(Result<(), Error>),
    Created(ContainerId, Box<Result<Prepared, Error>>),
    Started(ContainerId, Result<Started, Error>),
    StopSent(ContainerId, Result<(), ShimError>),
    Updated {
        id: ContainerId,
        merged: Box<Resources>,
        outcome: Result<(), Error>,
    },
    /// The shim gave up what it held of an ended container.
    Cleaned(ContainerId, Result<(), ShimError>),
    Removed(ContainerId, Result<(), Error>),
    /// The shim killed all containers and pod init.
    Killed(Result<(), ShimError>),
    /// Network and shim are given back.
    Released(Result<(), Error>),
    FilesGone(Result<(), Error>),
    /// What a dead shim left is gone; each container's exit file, if it has one.
    CleanedUp(Result<Vec<(ContainerId, Option<Exit>)>, Error>),
    Events(Result<Vec<Event>, ShimError>),
    /// Time to ask for events again.
    WatchAgain,
    Committed(Result<(), Error>),
    /// Time to try a failed commit again.
    Retry,
    /// What was to be done has no result that anyone waits for.
    Nothing,
}

/// A driver as others hold it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    id: PodId,
    inbox: mpsc::Sender<Request>,
    /// The connection for calls that change no state: exec and log reopen.
    shim: Arc<ArcSwapOption<Shim>>,
    /// What the pod's making waits for.
    stage: watch::Receiver<&'static str>,
    recovered: watch::Receiver<bool>,
}

impl Handle {
    /// Hands a request over.
    pub(crate) async fn send(&self, request: Request) -> Result<(), Closed> {
        self.inbox.send(request).await.map_err(|_| Closed)
    }

    pub(crate) fn id(&self) -> &PodId {
        &self.id
    }

    pub(crate) fn shim(&self) -> Option<Arc<Shim>> {
        self.shim.load_full()
    }

    /// Waits until a pod of an earlier daemon has found its shim again, or has none. No time for all others.
    pub(crate) async fn recovered(&mut self) {
        // An error means that the driver has ended: there is nothing to wait for.
        let _ = self.recovered.wait_for(|recovered| *recovered).await;
    }

    pub(crate) fn stage(&self) -> &'static str {
        *self.stage.borrow()
    }
}

/// The driver has ended.
#[derive(Debug)]
pub(crate) struct Closed;

/// Runs a pod.
pub(crate) struct Driver {
    node: Arc<Node>,
    pod: Pod,
    tasks: JoinSet<Done>,
    outbox: flush::Outbox,
    shim: Arc<ArcSwapOption<Shim>>,
    stage: watch::Sender<&'static str>,
    recovered: watch::Sender<bool>,
    /// The pod is gone, or the daemon ends.
    ended: bool,
}

/// How a driver begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    /// The pod has to be made.
    New,
    /// It was made by an earlier daemon.
    Recorded,
}

/// A child task panicked: what it was to do is lost, and with it what waits for it.
struct StepPanicked;

impl Driver {
    /// Starts a driver; the task ends when the pod is gone or the daemon closes.
    pub(crate) fn start(node: Arc<Node>, pod: Pod, beginning: Beginning) -> (Handle, tokio::task::JoinHandle<()>) {
        let (sender, inbox) = mpsc::channel(INBOX);
        let shim = Arc::new(ArcSwapOption::empty());
        let (stage, stages) = watch::channel("waiting to begin");
        let (recovered, told) = watch::channel(matches!(beginning, Beginning::New));
        let id = pod.id.clone();
        let handle = Handle { id, inbox: sender, shim: Arc::clone(&shim), stage: stages, recovered: told };
        let span = tracing::info_span!(parent: None, "pod", pod = pod.id.short());
        let life = life::Life { node, inbox, shim, stage, recovered };
        (handle, tokio::spawn(life.live(pod, beginning).instrument(span)))
    }

    async fn run(mut self, inbox: &mut mpsc::Receiver<Request>, beginning: Beginning) -> Result<(), StepPanicked> {
        match beginning {
            Beginning::New => self.begin_setup(),
            Beginning::Recorded => self.begin_recovery(),
        }
        self.flush();
        while !self.ended {
            tokio::select! {
                // What happened below comes before what is asked from above.
                biased;
                Some(done) = self.tasks.join_next() => match done {
                    Ok(done) => self.complete(done),
                    Err(_) => return Err(StepPanicked),
                },
                request = inbox.recv() => match request {
                    Some(request) => self.request(request),
                    None => break,
                },
            }
            self.flush();
        }
        // What is still being made for a pod that is gone gives back what it took.
        while self.pod.abandoned > 0
            && let Some(done) = self.tasks.join_next().await
        {
            if let Ok(Done::Created(id, outcome)) = done {
                self.abandoned(&id, outcome.is_ok());
            }
        }
        // A request that arrives from now on meets a closed inbox. Children that are left are cut off where they are,
        // as a crash would: the records say what to take up again.
        Ok(())
    }
}
