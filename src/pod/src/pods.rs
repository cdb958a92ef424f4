//! The public API of this crate.

mod call;
mod checkpoints;
mod handlers;
mod open;
mod plugins;
mod recorded;
mod restore;
mod run;
mod sessions;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use peapod_cdi::DeviceCache;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodResources;
use peapod_trace::{Span, SpanSubject};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::actor::{ActorContext, Handle};
use crate::clock;
use crate::config::CurrentTimeouts;
use crate::container::{ExecOperations, ExecOutput, ExecRequest};
use crate::cpuset;
use crate::disk;
use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::listed;
use crate::machine::{NewContainer, Reply, Request};
use crate::measures::PodMeasures;
use crate::publisher::{SnapshotNews, Subscription};
use crate::stages;
use crate::view::{ContainerState, ContainerView, PodView, Snapshot};

use call::{ActorCall, Subject};
pub use open::Dependencies;
use recorded::FirstListing;
pub use sessions::ExecSession;

/// Beyond a container's grace, how long its end is awaited before the call gives up.
const KILL_MARGIN: Duration = Duration::from_secs(30);

/// All pods of the node. Clones share them.
#[derive(Clone)]
pub struct Pods {
    actors: Arc<ActorContext>,
    execs: Arc<ExecOperations>,
    timeouts: Arc<CurrentTimeouts>,
    /// True once the daemon ends: tells the sweep to stop.
    closing: watch::Sender<bool>,
    first_listing: FirstListing,
    /// Owner of what abandoned calls leave to be done.
    leftovers: TaskTracker,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pods").finish_non_exhaustive()
    }
}

impl Pods {
    /// Limits as they stand in a `config.json` of this node, `linux.resources` without devices.
    ///
    /// # Errors
    /// Never with limits that were checked.
    pub fn limits_json(&self, resources: &Resources) -> Result<Vec<u8>, Error> {
        peapod_spec::resources_json(&peapod_spec::linux_resources(resources, &self.actors.containers.facts))
            .map_err(|error| Error::failed("write limits as JSON", &error))
    }

    /// The devices that files of the node describe.
    #[must_use]
    pub fn cdi(&self) -> &Arc<DeviceCache> {
        &self.actors.containers.cdi
    }

    /// All pods and containers now. No I/O, no lock.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.actors.publisher.snapshot()
    }

    /// The same, with its moment in nanoseconds since the epoch: no change of an earlier one is missing from it.
    #[must_use]
    pub fn look(&self) -> (i64, Arc<Snapshot>) {
        self.actors.publisher.look()
    }

    /// What pods and containers count of their own work.
    #[must_use]
    pub fn measures(&self) -> &PodMeasures {
        &self.actors.measures
    }

    /// What lists show, and each change of that from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.actors.publisher.subscribe()
    }

    /// That lists show something else, each time from now on.
    #[must_use]
    pub fn news(&self) -> SnapshotNews {
        self.actors.publisher.news()
    }

    /// Kills what runs in a pod and gives back its network. Again is success.
    ///
    /// # Errors
    /// When something could not be given back; another call tries again.
    pub async fn stop_pod(&self, id: &PodId, span: &Span) -> Result<(), Error> {
        let handle = self.actor_for(id, span)?;
        let call = ActorCall { what: "the pod's stop", span, handle: &handle };
        self.call(&call, Subject::Pod(id), Request::StopPod).await.map(drop)
    }

    /// Stops a pod if need be and removes it with its containers.
    ///
    /// # Errors
    /// When something could not be removed; another call tries again.
    pub async fn remove_pod(&self, id: &PodId, span: &Span) -> Result<(), Error> {
        let handle = self.actor_for(id, span)?;
        let call = ActorCall { what: "the pod's removal", span, handle: &handle };
        self.call(&call, Subject::Pod(id), Request::RemovePod).await.map(drop)
    }

    /// Records what a client has made of the cgroup of a pod: of one that the client named nothing else is done. On a
    /// pod's own ([`ParentKind::Own`]) the limits are set, all or, after an error, none. What it says nothing of stays.
    ///
    /// [`ParentKind::Own`]: crate::ParentKind::Own
    ///
    /// # Errors
    /// When the pod is not there, the limits can't be set, or that can't be recorded.
    pub async fn update_pod(&self, id: &PodId, told: PodResources, span: &Span) -> Result<(), Error> {
        let handle = self.actor_for(id, span)?;
        self.actors.plugins.pod_update(id, &told, span).await?;
        let request = Request::UpdatePod(Box::new(told));
        let call = ActorCall { what: "the pod's update", span, handle: &handle };
        self.call(&call, Subject::Pod(id), request).await?;
        self.actors.plugins.pod_is_updated(id, span).await;
        Ok(())
    }

    /// Makes a container, without a process, in a READY pod. A retry with an equal spec joins a running call, or gets
    /// the same id until a call that changes the container has named it.
    ///
    /// # Errors
    /// When the request can't be met; nothing is left then.
    pub async fn create_container(&self, pod: &PodId, spec: ContainerSpec, span: &Span) -> Result<ContainerId, Error> {
        let (what, handle) = ("the container", self.actor_for(pod, span)?);
        span.enter(&stages::ADMISSION);
        span.about(|subject| {
            subject.set_container_name(&spec.metadata.name);
            subject.set_image(&spec.image);
        });
        cpuset::check(&spec.resources, self.actors.containers.facts.cgroup_v2, "linux.resources.")?;
        self.first_listing.over(what, self.timeouts.get().operation).await?;
        let name = format!("container {}", spec.metadata.name);
        let admitted = self.actors.listed.reserve(&name, listed::of_container(&spec), &self.snapshot());
        let id = ContainerId::random().map_err(|error| Error::failed("make an id", &error))?;
        let new = Box::new(NewContainer { id, spec, admitted });
        let call = ActorCall { what, span, handle: &handle };
        match self.call(&call, Subject::Pod(pod), Request::Create(new)).await? {
            Reply::Created(id) => {
                span.about(|subject| subject.set_container_id(id.as_str()));
                Ok(id)
            }
            Reply::Done => Err(Error::Defect { what }),
        }
    }

    /// Starts a created container. A retry joins the start; on a container that runs it succeeds until the container
    /// was updated, stopped or removed.
    ///
    /// # Errors
    /// With the OCI runtime's words; the container is then exited, 128, `StartError`. It stays created where a disk is
    /// full or the pod's handler is not configured.
    pub async fn start_container(&self, id: &ContainerId, span: &Span) -> Result<(), Error> {
        let handle = self.actor_of(id, span)?;
        span.enter(&stages::ADMISSION);
        let snapshot = self.snapshot();
        let (entry, _) = snapshot.container(id).ok_or_else(|| Error::no_container(id.as_str()))?;
        let served = self.actors.runtimes.handler(&entry.pod.runtime_handler).serves(&entry.pod.id);
        let startable = disk::has_room(&self.actors.defaults.layout).await.and(served);
        let request = Request::Start(id.clone(), startable);
        let call = ActorCall { what: "the container's start", span, handle: &handle };
        self.call(&call, Subject::Container(id), request).await.map(drop)
    }

    /// Asks a container to end, kills it after `grace`, and returns when it has ended. Zero kills at once.
    /// A later call can only shorten the grace; a dropped one lifts nothing.
    ///
    /// # Errors
    /// When it doesn't end.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration, span: &Span) -> Result<(), Error> {
        let handle = self.actor_of(id, span)?;
        let grace_ns = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
        let request = Request::Stop(id.clone(), clock::boottime().saturating_add(grace_ns));
        let limit = grace.saturating_add(KILL_MARGIN);
        let call = ActorCall { what: "the container's stop", span, handle: &handle };
        self.call_within(&call, Subject::Container(id), request, limit).await.map(drop)
    }

    /// Removes a container, killing it first if it runs.
    ///
    /// # Errors
    /// When something could not be removed.
    pub async fn remove_container(&self, id: &ContainerId, span: &Span) -> Result<(), Error> {
        let handle = self.actor_of(id, span)?;
        let request = Request::Remove(id.clone());
        let call = ActorCall { what: "the container's removal", span, handle: &handle };
        self.call(&call, Subject::Container(id), request).await.map(drop)
    }

    /// Changes limits of a created or running container. Zero and empty values keep what is.
    ///
    /// # Errors
    /// When the container has ended or the OCI runtime refuses.
    pub async fn update_container(&self, id: &ContainerId, change: Resources, span: &Span) -> Result<(), Error> {
        let handle = self.actor_of(id, span)?;
        cpuset::check(&change, self.actors.containers.facts.cgroup_v2, "")?;
        let plugins = &self.actors.plugins;
        let change = plugins.container_update(id, change, span).await?;
        cpuset::check(&change, self.actors.containers.facts.cgroup_v2, "")?;
        let call = ActorCall { what: "the container's update", span, handle: &handle };
        self.call(&call, Subject::Container(id), Request::Update(id.clone(), Box::new(change))).await?;
        plugins.container_is_updated(id, span).await;
        Ok(())
    }

    /// Opens a running container's log anew at its path.
    ///
    /// # Errors
    /// When it doesn't run, or the file can't be made.
    pub async fn reopen_log(&self, id: &ContainerId) -> Result<(), Error> {
        let (shim, _) = self.running(id).await?;
        shim.reopen_log(id.as_str()).await.map_err(|error| error.into_error("reopen the container's log"))
    }

    /// Runs a command in a running container. Dropping the future kills the command.
    ///
    /// # Errors
    /// When it can't be started or takes too long.
    pub async fn exec_sync(&self, id: &ContainerId, request: ExecRequest, span: &Span) -> Result<ExecOutput, Error> {
        span.enter(&stages::RECOVERY);
        let (shim, container) = self.running(id).await?;
        span.about(|subject| about(subject, None, Some(&container)));
        self.execs.run(&shim, &container, &request, span).await
    }

    /// Lets go of all pods, which run on, and ends the actors.
    pub async fn close(&self) {
        let actors = self.actors.registry.take_all();
        for (handle, _) in &actors {
            handle.close().await;
        }
        for (_, task) in actors {
            let _ = task.await;
        }
        self.closing.send_replace(true);
        self.leftovers.close();
        self.leftovers.wait().await;
    }

    /// The shim of a running container's pod, once the pod is recovered.
    async fn running(&self, id: &ContainerId) -> Result<(Arc<crate::shim::Shim>, Arc<ContainerView>), Error> {
        let mut handle = self.actor_of(id, &Span::default())?;
        handle.recovered().await;
        let snapshot = self.snapshot();
        let (_, container) = snapshot.container(id).ok_or_else(|| Error::no_container(id.as_str()))?;
        let state = match container.state {
            ContainerState::Running { .. } => match handle.shim() {
                Some(shim) => return Ok((shim, Arc::clone(container))),
                None => "without a shim that this peapod can ask",
            },
            ContainerState::Created => "created",
            ContainerState::Exited { .. } => "exited",
        };
        let need = "this needs a running container";
        Err(Error::Precondition { what: "container", id: id.to_string(), state: state.to_owned(), need })
    }

    fn actor(&self, id: &PodId) -> Result<Handle, Error> {
        self.actors.registry.get(id).ok_or_else(|| Error::no_pod(id.as_str()))
    }

    /// The same for a call whose span is told which pod it is.
    fn actor_for(&self, id: &PodId, span: &Span) -> Result<Handle, Error> {
        span.about(|subject| match self.snapshot().pod(id) {
            Some(entry) => about(subject, Some(&entry.pod), None),
            None => subject.set_pod_id(id.as_str()),
        });
        self.actor(id)
    }

    /// The actor of a container's pod, for a call whose span is told which these are.
    fn actor_of(&self, id: &ContainerId, span: &Span) -> Result<Handle, Error> {
        let snapshot = self.snapshot();
        let (entry, container) = snapshot.container(id).ok_or_else(|| Error::no_container(id.as_str()))?;
        span.about(|subject| about(subject, Some(&entry.pod), Some(container)));
        self.actors.registry.get(&entry.pod.id).ok_or_else(|| Error::no_container(id.as_str()))
    }
}

/// Names of a pod and a container in a span.
fn about(subject: &mut SpanSubject, pod: Option<&PodView>, container: Option<&ContainerView>) {
    if let Some(pod) = pod {
        let metadata = &pod.spec.metadata;
        subject.set_namespace(&metadata.namespace);
        subject.set_pod_name(&metadata.name);
        subject.set_pod_uid(&metadata.uid);
        subject.set_pod_id(pod.id.as_str());
    }
    if let Some(container) = container {
        subject.set_container_name(&container.spec.metadata.name);
        subject.set_container_id(container.id.as_str());
    }
}
