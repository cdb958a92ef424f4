//! One actor per pod: carries out what the pod's machine wants, and nothing else.
//!
//! It feeds the machine with requests, outcomes and pauses that are over, one at a time, and carries out the actions
//! that come back in their order. It never awaits work: a job is a task, and its end an input. A job that panics has an
//! outcome too, where its state can be known; else, and after a defect of the machine, the pod is taken up from its
//! record ([`supervisor`]).

mod commit;
mod handle;
mod jobs;
mod supervisor;
mod tickets;

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use peapod_store::Database;
use peapod_trace::{Span, StageKind, Tracer, WorkSpan};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tracing::Instrument;

use crate::clock;
use crate::container::ContainerOperations;
use crate::defaults::PodDefaults;
use crate::id::ContainerId;
use crate::listed::Listed;
use crate::machine::{
    self, Action, Awaited, ContainerOutcome, Input, Job, JobKey, NoResult, Now, Outcome, Request, TaskKey, Ticket,
};
use crate::measures::PodMeasures;
use crate::plugins::NodePlugins;
use crate::publisher::Publisher;
use crate::registry::Registry;
use crate::runtimes::{Handler, Runtimes};
use crate::sandbox::SandboxOperations;
use crate::shim::Shim;
use crate::start_limiter::StartLimiter;

pub(crate) use handle::{Closed, Handle, PendingCall};

use commit::WrittenSpecs;
use handle::Message;
use jobs::{Extra, JobContext, settle};
use supervisor::ActorSupervisor;
use tickets::{Tickets, WaitingCall};

/// The machine of a pod whose shim is a real one.
pub(crate) type Machine = machine::Machine<Shim>;

/// How many requests may wait for an actor. It takes them faster than anyone sends them.
const INBOX: usize = 64;

/// What an actor begins with.
pub(crate) struct ActorInput {
    pub(crate) machine: Machine,
    pub(crate) handler: Handler,
    /// To its shim, made before it is recovered.
    pub(crate) connection: Option<UnixStream>,
}

/// What all actors work with.
#[derive(Debug)]
pub(crate) struct ActorContext {
    /// state.db.
    pub(crate) db: Database,
    pub(crate) defaults: PodDefaults,
    pub(crate) registry: Arc<Registry>,
    pub(crate) publisher: Arc<Publisher>,
    /// What lists show.
    pub(crate) listed: Listed,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) sandboxes: Arc<SandboxOperations>,
    pub(crate) containers: Arc<ContainerOperations>,
    /// How many containers are started or removed at a time.
    pub(crate) start_limiter: StartLimiter,
    pub(crate) measures: PodMeasures,
    /// Of jobs.
    pub(crate) tracer: Tracer,
    pub(crate) plugins: NodePlugins,
}

/// Starts a pod's actor. The task ends when the pod is gone or the daemon closes.
pub(crate) fn start(context: Arc<ActorContext>, input: ActorInput, is_new: bool) -> (Handle, task::JoinHandle<()>) {
    let (sender, inbox) = mpsc::channel(INBOX);
    let shim = Arc::new(ArcSwapOption::empty());
    let (recovered, told) = watch::channel(is_new);
    let id = input.machine.identity().id.clone();
    let handle =
        Handle { id: id.clone(), inbox: sender, shim: Arc::clone(&shim), tickets: Arc::default(), recovered: told };
    let span = tracing::info_span!(parent: None, "pod", pod = id.short());
    let supervisor = ActorSupervisor { context, inbox, shim, recovered };
    (handle, tokio::spawn(supervisor.live(input).instrument(span)))
}

/// Something panicked of which nobody can know how far it came.
struct Defect;

/// A task of an actor's.
struct RunningTask {
    key: TaskKey,
    handle: AbortHandle,
    /// What it says of its stages, if it is a job that somebody may wait for. It ends when the machine is told how that
    /// ended: what calls wait for next begins then.
    work: Option<WorkSpan>,
}

/// Drives a pod.
struct Actor {
    jobs: JobContext,
    machine: Machine,
    written: WrittenSpecs,
    tickets: Tickets,
    tasks: JoinSet<Input<Shim>>,
    running: HashMap<task::Id, RunningTask>,
    /// Of starts under way: tells the deadline of a stop.
    starts: HashMap<ContainerId, watch::Sender<Option<i64>>>,
    connection: Option<UnixStream>,
    shim: Arc<ArcSwapOption<Shim>>,
    recovered: watch::Sender<bool>,
    /// The pod is gone; what was abandoned goes on.
    forgotten: bool,
}

impl Actor {
    async fn run(mut self, inbox: &mut mpsc::Receiver<Message>) -> Result<(), Defect> {
        self.step(Input::Begin);
        while !self.machine.is_over() {
            tokio::select! {
                // What happened below comes before what is asked from above.
                biased;
                Some(ended) = self.tasks.join_next_with_id() => {
                    let input = self.input(ended)?;
                    self.step(input);
                }
                message = inbox.recv() => match message {
                    Some(Message::Request(ticket, request, waiter)) => self.request(ticket, request, waiter),
                    Some(Message::Close) | None => break,
                },
            }
        }
        // A request that arrives from now on meets a closed inbox. Tasks that are left are cut off where they are, as a
        // crash would: the records say what to take up again.
        Ok(())
    }

    fn request(&mut self, ticket: Ticket, request: Request, waiter: WaitingCall) {
        if self.forgotten {
            // Who asked finds that the pod is gone.
            return;
        }
        let left = self.tickets.left();
        if !left.is_empty() {
            self.step(Input::Left(left));
        }
        self.tickets.add(ticket, waiter);
        self.step(Input::Request(ticket, request));
    }

    /// Tells each call what it waits for from now on. One that waits for nothing has its answer on the way, or this pod
    /// never gives it one.
    fn tell_stages(&self) {
        let is_recorded = !self.running.values().any(|task| task.key == TaskKey::Commit);
        let mut told = None;
        for (ticket, awaited) in self.machine.awaited() {
            let Some(span) = self.tickets.span(ticket) else { continue };
            // Those who wait for the same have asked one after the other, as a rule.
            let job = match told {
                Some((of, job)) if of == awaited => job,
                _ => told.insert((awaited, self.job_of(awaited))).1,
            };
            match job {
                Some((stage, work)) => span.enter_work(stage, work),
                None => span.enter(awaited.stage(is_recorded)),
            }
        }
    }

    /// The job under way for what is waited for; of several the pod's own first.
    fn job_of(&self, awaited: Awaited<'_>) -> Option<(&'static StageKind, &Span)> {
        let jobs = self.running.values().filter_map(|task| match (&task.key, &task.work) {
            (TaskKey::Job(key), Some(work)) if awaited.includes(key) => Some((key, work.span())),
            _ => None,
        });
        let first = jobs.min_by_key(|(key, _)| key.container());
        first.map(|(key, work)| (key.stage(), work))
    }

    fn step(&mut self, input: Input<Shim>) {
        let now = Now { realtime: clock::now(), boottime: clock::boottime() };
        for action in self.machine.step(now, input) {
            self.carry_out(action);
        }
        self.tell_stages();
    }

    /// What the end of a task means to the machine.
    fn input(&mut self, ended: Result<(task::Id, Input<Shim>), JoinError>) -> Result<Input<Shim>, Defect> {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let (key, work) = self.running.remove(&id).map(|task| (task.key, task.work)).unzip();
        let input = match ended {
            Ok((_, input)) => input,
            Err(error) => {
                let how = if error.is_cancelled() { NoResult::Cancelled } else { NoResult::Panicked };
                key.and_then(|key| key.ended_without_result(how)).ok_or(Defect)?
            }
        };
        if let (Input::Outcome(outcome), Some(Some(work))) = (&input, work) {
            settle(&work, outcome);
        }
        match &input {
            Input::Outcome(Outcome::Container(id, ContainerOutcome::Started(_))) => drop(self.starts.remove(id)),
            Input::Committed(Err(_)) => self.written.forget(),
            _ => {}
        }
        Ok(input)
    }

    fn carry_out(&mut self, action: Action<Shim>) {
        let context = &self.jobs.context;
        match action {
            Action::Commit(rows) => {
                let (db, identity) = (context.db.clone(), Arc::clone(&self.jobs.identity));
                let rows = self.written.note(rows);
                let commit = async move { Input::Committed(commit::commit(db, identity, rows).await) };
                self.spawn(TaskKey::Commit, None, commit);
            }
            Action::Publish(entry) => context.plugins.publish(&context.publisher, *entry),
            Action::Hide => context.plugins.hide(&context.publisher, &self.jobs.identity.id),
            Action::Answer(ticket, result) => self.tickets.answer(ticket, result),
            Action::Run(job) => self.begin(job),
            Action::Override(id, deadline) => {
                if let Some(stop) = self.starts.get(&id) {
                    stop.send_replace(Some(deadline));
                }
            }
            Action::Cancel(key) => self.cancel(|job| *job == key),
            Action::CancelShimJobs => self.cancel(JobKey::needs_shim),
            Action::CountLostShim => context.measures.shims_lost.increment(),
            Action::Pause(timer, pause) => self.spawn(TaskKey::Pause(timer), None, async move {
                tokio::time::sleep(pause).await;
                Input::Timer(timer)
            }),
            Action::Expose(shim) => self.shim.store(shim.map(Arc::new)),
            Action::Recovered => drop(self.recovered.send_replace(true)),
            Action::Reached(stage) => peapod_sys::fail_point(stage),
            Action::Forget => self.forget(),
        }
    }

    fn begin(&mut self, job: Job<Shim>) {
        let extra = match &job {
            Job::Reconnect(_) => self.connection.take().map_or(Extra::None, Extra::Connection),
            Job::Start(start) => {
                let (sender, stop) = watch::channel(start.stopped);
                self.starts.insert(start.id.clone(), sender);
                Extra::Stop(stop)
            }
            _ => Extra::None,
        };
        let (key, jobs) = (job.key(), self.jobs.clone());
        let work = self.jobs.span_of(&job);
        let span = work.as_ref().map(|work| work.span().clone()).unwrap_or_default();
        let performed = async move { Input::Outcome(jobs.perform(job, extra, &span).await) };
        self.spawn(TaskKey::Job(key), work, performed);
    }

    fn spawn(
        &mut self,
        key: TaskKey,
        work: Option<WorkSpan>,
        task: impl Future<Output = Input<Shim>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(task.in_current_span());
        self.running.insert(handle.id(), RunningTask { key, handle, work });
    }

    fn cancel(&self, which: impl Fn(&JobKey) -> bool) {
        for task in self.running.values() {
            if matches!(&task.key, TaskKey::Job(key) if which(key)) {
                task.handle.abort();
            }
        }
    }

    fn forget(&mut self) {
        self.jobs.context.registry.forget(&self.jobs.identity.id);
        self.forgotten = true;
        self.recovered.send_replace(true);
        self.tickets.drop_all();
    }
}
