//! Jobs of a pod: each is one of the operations in `sandbox` and `container`, or a call to the shim.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use peapod_cgroup::CgroupDriver;
use peapod_nri::Begun;
use peapod_shim_protocol::exit::Exit;
use peapod_shim_protocol::extension::{self, event};
use peapod_sys::fail_point;
use peapod_trace::{Span, WorkSpan};
use tokio::sync::watch;

use super::ActorContext;
use crate::container::{self, ContainerContext};
use crate::error::Error;
use crate::id::ContainerId;
use crate::machine::{
    Connected, ContainerOutcome, GroupChange, Identity, Job, JobError, JobKey, Outcome, SetUp, ShimEvent,
    ShimEventKind, Start, Started, Update,
};
use crate::namespaces::PodNamespaces;
use crate::plugins::{self, PodFacts};
use crate::recover;
use crate::runtimes::Handler;
use crate::sandbox::{PodHoldings, ReadySandbox, SandboxInput};
use crate::shim::{Shim, ShimError};
use crate::stages;

/// What a pod's jobs work with.
#[derive(Clone)]
pub(super) struct JobContext {
    pub(super) context: Arc<ActorContext>,
    pub(super) identity: Arc<Identity>,
    /// Of the pod.
    pub(super) handler: Handler,
}

/// What a job gets beside its own input.
pub(super) enum Extra {
    None,
    /// To the pod's shim, made before the pod is recovered.
    Connection(UnixStream),
    /// The deadline of a stop, which overrides a start.
    Stop(watch::Receiver<Option<i64>>),
}

impl JobContext {
    /// The span of a job; none of one that nobody waits for.
    pub(super) fn span_of(&self, job: &Job<Shim>) -> Option<WorkSpan> {
        let key = job.key();
        if key == JobKey::Watch {
            return None;
        }
        let mut subject = self.identity.subject();
        if let Some(container) = key.container() {
            subject.set_container_id(container.as_str());
        }
        if let Job::Create { spec, .. } = job {
            subject.set_container_name(&spec.metadata.name);
        }
        let work = self.context.tracer.work(key.stage().name, subject);
        if let Some(first) = key.first_stage() {
            work.span().enter(first);
        }
        Some(work)
    }

    pub(super) async fn perform(&self, job: Job<Shim>, extra: Extra, span: &Span) -> Outcome<Shim> {
        let ActorContext { sandboxes, containers, .. } = &*self.context;
        let identity = &*self.identity;
        let id = &identity.id;
        match job {
            Job::SetUp => Outcome::SetUp(self.set_up(span).await),
            Job::TakeBack => {
                let held = PodHoldings { socket: &identity.socket, attached: true, group: identity.cgroup.own() };
                Outcome::TakenBack(recover::take_back(sandboxes, id, held, span).await)
            }
            Job::Reconnect(recorded) => {
                if let Some(group) = identity.cgroup.own() {
                    self.limit_again(group).await;
                }
                let connection = if let Extra::Connection(stream) = extra { Some(stream) } else { None };
                Outcome::Reconnected(recover::reconnect(containers, id, &identity.socket, connection, recorded).await)
            }
            Job::Watch { shim, after } => Outcome::Watched(watched(shim.watch(after).await)),
            Job::Kill { shim } => {
                let killed = shim.while_it_answers(shim.stop_sandbox(id.as_str())).await;
                Outcome::Killed(killed.map_err(|error| job_error(error, "stop the pod's containers")))
            }
            Job::CleanUp { live, cgroups } => Outcome::CleanedUp(sandboxes.clean_up(id, live, &cgroups).await),
            Job::Release { shim, attached } => {
                self.context.plugins.pod_stops(id, span).await;
                let held = PodHoldings { socket: &identity.socket, attached, group: identity.cgroup.own() };
                Outcome::Released(sandboxes.release(id, shim, held, span).await)
            }
            Job::LimitGroup(change) => {
                fail_point("pod-limits-asked");
                let GroupChange { group, before, after } = *change;
                let limited = sandboxes.change_group(id, &group, before, after).await;
                fail_point("pod-limits-set");
                Outcome::GroupLimited(limited)
            }
            Job::RemoveFiles => {
                let leaving = self.context.plugins.pod_leaves(id);
                let removed = sandboxes.remove_files(id).await;
                Outcome::FilesRemoved(leaving.end(removed, span).await)
            }
            Job::EndStray { shim, id } => {
                self.end_stray(&shim, &id).await;
                Outcome::StrayEnded
            }
            Job::Discard(container) => {
                if let Err(error) = containers.remove(None, id, &container).await {
                    tracing::warn!(%error, "what a container took that was never made stays until the next start");
                }
                self.context.plugins.container_discarded(id, &container, span).await;
                Outcome::Discarded(container)
            }
            Job::Create { .. } | Job::Start(_) | Job::Stop { .. } | Job::Update(_) => {
                self.of_container(job, extra, span).await
            }
            Job::Delete { shim, id } => {
                let deleted = shim.delete_task(id.as_str()).await;
                let deleted = deleted.map_err(|error| job_error(error, "clean up an ended container"));
                self.context.plugins.container_ended(&id, span).await;
                Outcome::Container(id, ContainerOutcome::CleanedUp(deleted))
            }
            Job::Remove { shim, id: container } => {
                let removal = async {
                    span.enter(&stages::FILES);
                    containers.remove(shim, id, &container).await
                };
                self.context.plugins.container_ended(&container, span).await;
                let leaving = self.context.plugins.container_leaves(id, &container).await;
                let removed = leaving.end(self.context.start_limiter.run(removal).await, span).await;
                Outcome::Container(container, ContainerOutcome::Removed(removed.map_err(JobError::Failed)))
            }
        }
    }

    async fn of_container(&self, job: Job<Shim>, extra: Extra, span: &Span) -> Outcome<Shim> {
        let (containers, identity) = (&self.context.containers, &*self.identity);
        match job {
            Job::Create { id, spec, namespaces } => {
                let created = container::create(&self.context(&namespaces), &id, &spec, span).await;
                let created = created.map(|prepared| Box::new(prepared.record));
                Outcome::Container(id, ContainerOutcome::Created(created))
            }
            Job::Start(start) => {
                let (id, started) = self.start(*start, extra, span).await;
                Outcome::Container(id, ContainerOutcome::Started(started.map_err(JobError::Failed)))
            }
            Job::Stop { shim, id, signal, deadline } => {
                fail_point("stop-asked");
                let sent = shim.stop(id.as_str(), signal, deadline).await;
                fail_point("stop-sent");
                let sent = sent.map_err(|error| job_error(error, "stop the container"));
                Outcome::Container(id, ContainerOutcome::StopSent(sent))
            }
            Job::Update(update) => {
                if let Ok(runtime) = self.handler.runtime() {
                    span.enter_on(&stages::RUNTIME_UPDATE, runtime.name());
                }
                let Update { shim, id, cgroup, before, after, attempt } = *update;
                let updated = container::UpdateInput {
                    id: &id,
                    group: &cgroup,
                    bundle: &containers.layout.bundle(&identity.id, &id),
                    handler: &self.handler,
                    by_systemd: identity.cgroup.driver == CgroupDriver::Systemd,
                    before: &before,
                    after: &after,
                    attempt,
                };
                let updated = containers.update(&shim, updated).await;
                fail_point("update-made");
                Outcome::Container(id, ContainerOutcome::Updated(updated))
            }
            // The others are the pod's.
            _ => Outcome::StrayEnded,
        }
    }

    fn context(&self, namespaces: &PodNamespaces) -> ContainerContext {
        ContainerContext {
            containers: Arc::clone(&self.context.containers),
            pod_id: self.identity.id.clone(),
            pod: Arc::clone(&self.identity.spec),
            handler: self.handler.clone(),
            cgroup: self.identity.cgroup.clone(),
            categories: self.identity.categories.as_ref().map(|lease| lease.pair),
            namespaces: namespaces.clone(),
            plugins: self.context.plugins.clone(),
        }
    }

    async fn set_up(&self, span: &Span) -> Result<SetUp<Shim>, Error> {
        let Identity { id, spec, socket, cgroup, categories, .. } = &*self.identity;
        let categories = categories.as_ref().map(|lease| lease.pair);
        let runtime = self.handler.runtime()?;
        let pod = SandboxInput { id, spec, socket, group: cgroup.own(), categories, runtime };
        container::check_pod(runtime, spec)?;
        if spec.namespaces.users.is_some() {
            self.handler.can_have_users().await?;
        }
        plugins::started(&self.context.plugins, span).await;
        let begun = self.context.plugins.begin_pod(id);
        let ready = self.context.sandboxes.set_up(pod, span).await?;
        if let Err(refused) = self.ask_plugins(&begun, &ready, span).await {
            span.fail();
            span.enter(&stages::UNDO);
            let held = PodHoldings { socket, attached: ready.attached, group: cgroup.own() };
            let released = self.context.sandboxes.release(id, Some(ready.shim), held, span).await;
            if let Err(error) = released.and(self.context.sandboxes.remove_files(id).await) {
                tracing::warn!(%error, "what a pod has that plugins refused stays until the next start");
            }
            return Err(refused);
        }
        begun.made();
        Ok(SetUp {
            connected: Connected { shim: ready.shim, pid: ready.shim_pid, namespaces: ready.namespaces },
            attached: ready.attached,
            ips: ready.ips,
            netns: ready.netns,
        })
    }

    /// Plugins see the pod with all that it has, before anybody else does.
    async fn ask_plugins(&self, begun: &Begun, ready: &ReadySandbox, span: &Span) -> Result<(), Error> {
        let facts = PodFacts {
            id: &self.identity.id,
            spec: &self.identity.spec,
            ips: &ready.ips,
            shim_pid: ready.shim_pid,
            namespaces: &ready.namespaces.named(),
            cgroup_parent: &self.identity.cgroup.parent,
        };
        self.context.plugins.pod_is_made(begun, &facts, span).await
    }

    async fn start(&self, start: Start<Shim>, extra: Extra, span: &Span) -> (ContainerId, Result<Started, Error>) {
        let Start { shim, id, spec, record, namespaces, target, stopped } = start;
        let stop = if let Extra::Stop(stop) = extra { stop } else { watch::channel(stopped).1 };
        let context = &self.context(&namespaces);
        let input = container::StartInput { context, id: &id, spec: &spec, record, target, stop, span };
        let started = self.context.start_limiter.run(container::start(&shim, input)).await;
        let started = started.map(|container::RunningContainer { pid, at, namespaces, exec }| Started {
            pid,
            at,
            namespaces,
            exec,
        });
        (id, started)
    }

    /// An earlier daemon may have died between setting limits and recording them.
    async fn limit_again(&self, group: &str) {
        let limits = self.identity.spec.resources.clone().unwrap_or_default();
        if let Err(error) = self.context.sandboxes.make_group(group, &limits).await {
            tracing::warn!(%error, "the recorded limits of the pod could not be set again");
        }
    }

    /// Nobody can ask for it.
    async fn end_stray(&self, shim: &Shim, id: &ContainerId) {
        match self.context.containers.end(shim, &self.identity.id, id).await {
            Ok(()) => tracing::info!(container = id.short(), "ended a container whose record can't be read"),
            Err(error) => tracing::warn!(
                container = id.short(), %error,
                "a container whose record can't be read is not ended; the pod's stop does it"
            ),
        }
    }
}

/// Notes what came of a job.
pub(super) fn settle(work: &WorkSpan, outcome: &Outcome<Shim>) {
    match outcome.error() {
        None => work.settle(Ok(())),
        Some(error) => work.settle(Err(("Unknown", &error))),
    }
}

fn job_error(error: ShimError, step: &'static str) -> JobError {
    match error {
        ShimError::Gone(reason) => JobError::Gone(reason),
        error => JobError::Failed(error.into_error(step)),
    }
}

fn watched(events: Result<Vec<extension::Event>, ShimError>) -> Result<Vec<ShimEvent>, JobError> {
    match events {
        Ok(events) => Ok(events.into_iter().map(event).collect()),
        // It answers with no event when there is none.
        Err(error @ ShimError::Timeout { .. }) => Err(JobError::Gone(error.to_string())),
        Err(error) => Err(job_error(error, "hear of the pod's events")),
    }
}

fn event(event: extension::Event) -> ShimEvent {
    let kind = match event.kind {
        Some(event::Kind::Exited(exited)) => ShimEventKind::Exited {
            id: event.container_id,
            exit: Exit {
                code: exited.code,
                signal: (exited.signal != 0).then_some(exited.signal),
                oom: exited.oom,
                started_at: exited.started_at,
                finished_at: exited.finished_at,
            },
        },
        Some(event::Kind::InitExited(init)) => ShimEventKind::InitExited { code: init.code },
        _ => ShimEventKind::Other,
    };
    ShimEvent { number: event.seq, kind }
}
