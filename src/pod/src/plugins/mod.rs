//! The places in a pod's and a container's life of which the node's plugins hear, and what becomes of what they say.
//!
//! Without plugins each costs a look at a number. What plugins are told is what lists show: of what is not shown yet,
//! what is being made.

mod describe;
mod limits;
mod translate;
#[cfg(test)]
mod translate_tests;

use std::sync::Arc;

use peapod_nri::api::{self, Event};
use peapod_nri::{Adjusted, Audience, Begun, PluginRefusal, PluginWishes, Plugins, RefusalReason};
use peapod_spec::Config;
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodResources;
use peapod_text::excerpt;
use peapod_trace::Span;

use crate::error::Error;
use crate::id::{ContainerId, PodId};
use crate::publisher::Publisher;
use crate::stages;
use crate::view::PodEntry;

pub(crate) use describe::PodFacts;
pub(crate) use translate::WantedContainer;

/// The node's plugins, with what they are told.
#[derive(Clone, Debug)]
pub(crate) struct NodePlugins {
    plugins: Plugins,
    publisher: Arc<Publisher>,
}

/// Why plugins keep something from being done.
pub(crate) fn refused(reason: String) -> Error {
    Error::Failed { step: "do as the node's NRI plugins want".to_owned(), reason }
}

/// Waits until plugins that are installed have been started: what began before would be made without them.
pub(crate) async fn started(node: &NodePlugins, span: &Span) {
    if !node.plugins.have_started() {
        span.enter(&stages::PLUGINS_START);
        node.plugins.started().await;
    }
}

/// Counts what plugins want and can't have.
pub(crate) fn possible<T>(node: &NodePlugins, done: Result<T, Error>) -> Result<T, Error> {
    if done.is_err() {
        node.plugins.measures().count_refusal(RefusalReason::Impossible);
    }
    done
}

impl NodePlugins {
    pub(crate) fn new(plugins: Plugins, publisher: Arc<Publisher>) -> Self {
        Self { plugins, publisher }
    }

    pub(crate) fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    fn refused_by(&self, refusal: &PluginRefusal) -> Error {
        self.plugins.measures().count_refusal(refusal.reason());
        Error::Failed { step: "ask the node's plugins".to_owned(), reason: refusal.to_string() }
    }

    /// Shows a pod, and lets plugins in that waited for that.
    pub(crate) fn publish(&self, publisher: &Publisher, entry: PodEntry) {
        let id = entry.pod.id.clone();
        publisher.publish(entry);
        let shown = publisher.snapshot();
        let Some(entry) = shown.pod(&id) else { return };
        let is_shown = |other: &str| other == id.as_str() || entry.containers.keys().any(|own| own.as_str() == other);
        self.plugins.shows(id.as_str(), is_shown);
    }

    /// Shows it no more.
    pub(crate) fn hide(&self, publisher: &Publisher, id: &PodId) {
        publisher.hide(id);
        self.plugins.shows(id.as_str(), |_| false);
    }

    /// A pod begins to be made.
    pub(crate) fn begin_pod(&self, id: &PodId) -> Begun {
        self.plugins.begin(id.as_str())
    }

    /// Plugins are asked about a pod that has everything. After an error those that heard of it hear that it is gone.
    pub(crate) async fn pod_is_made(&self, begun: &Begun, facts: &PodFacts<'_>, span: &Span) -> Result<(), Error> {
        let pod = || describe::pod(facts);
        if begun.is_unasked(pod, None).map_err(|error| self.refused_by(&error))? {
            return Ok(());
        }
        span.enter(&stages::PLUGINS);
        let (pod, audience) = (pod(), begun.audience());
        self.plugins.runs(&pod.id);
        let told = audience.tell(Event::RUN_POD_SANDBOX, &pod, None, span).await;
        if told.is_err() {
            // It never stopped: it never was.
            drop(self.plugins.ended(&pod.id));
            audience.tell_after(Event::REMOVE_POD_SANDBOX, &pod, None, span).await;
        }
        told.map_err(|error| self.refused_by(&error))
    }

    /// Everything of a pod has ended, and what it holds is about to be given back.
    pub(crate) async fn pod_stops(&self, id: &PodId, span: &Span) {
        if self.plugins.is_idle() {
            return;
        }
        let shown = self.publisher.snapshot();
        let Some(entry) = shown.pod(id) else { return };
        // Of a pod whose shim died nobody has told the ends yet.
        for container in entry.containers.keys() {
            self.container_ended(container, span).await;
        }
        let audience = self.plugins.ended(id.as_str());
        if !audience.is_empty() {
            span.enter(&stages::PLUGINS);
            let pod = describe::pod(&PodFacts::from(&entry.pod));
            audience.tell_after(Event::STOP_POD_SANDBOX, &pod, None, span).await;
        }
    }

    /// A pod begins to be removed.
    pub(crate) fn pod_leaves(&self, id: &PodId) -> Departure {
        let audience = self.plugins.leave(id.as_str(), id.as_str());
        let shown = self.publisher.snapshot();
        let pod = shown.pod(id).filter(|_| !audience.is_empty());
        let pod = pod.map(|entry| describe::pod(&PodFacts::from(&entry.pod)));
        Departure { plugins: self.plugins.clone(), id: id.to_string(), audience, pod, container: None }
    }

    /// A container begins to be made.
    pub(crate) fn begin_container(&self, id: &ContainerId) -> Begun {
        self.plugins.begin(id.as_str())
    }

    /// Whether there is nobody to be asked.
    pub(crate) fn is_unasked(&self, begun: &Begun, pod: &PodId, container: Option<&str>) -> Result<bool, Error> {
        begun
            .is_unasked(|| pod_of(&self.publisher, pod).unwrap_or_default(), container)
            .map_err(|error| self.refused_by(&error))
    }

    /// What plugins want of a container that is being made; what they want of others is done.
    pub(crate) async fn container_asked(
        &self,
        begun: &Begun,
        pod: &PodId,
        (id, spec): (&ContainerId, &ContainerSpec),
        config: &Config,
        span: &Span,
    ) -> Result<Option<WantedContainer>, Error> {
        let container = describe::new(pod, id, spec, config);
        let pod = pod_of(&self.publisher, pod).unwrap_or_default();
        let adjusted = begun.adjust(&pod, container, span).await.map_err(|error| self.refused_by(&error))?;
        let Adjusted { adjustment, wishes } = adjusted;
        let wanted = match adjustment == api::ContainerAdjustment::default() {
            true => None,
            false => Some(possible(self, translate::wanted(&adjustment))?),
        };
        let failed = self.plugins.carry_out_for(wishes, span).await;
        let done = match failed.iter().find(|update| !update.ignore_failure) {
            Some(update) => Err(refused(format!("an update of container {} failed", excerpt(&update.container_id)))),
            None => Ok(wanted),
        };
        possible(self, done)
    }

    /// A container is made, and not shown yet.
    pub(crate) async fn container_is_made(
        &self,
        begun: &Begun,
        pod: &PodId,
        (id, spec): (&ContainerId, &ContainerSpec),
        config: &Config,
        span: &Span,
    ) {
        let audience = begun.audience();
        if audience.is_empty() {
            return;
        }
        let container = describe::new(pod, id, spec, config);
        let pod = pod_of(&self.publisher, pod).unwrap_or_default();
        audience.tell_after(Event::POST_CREATE_CONTAINER, &pod, Some(&container), span).await;
    }

    /// A container could not be made.
    pub(crate) async fn container_undone(&self, begun: &Begun, pod: &PodId, id: &ContainerId, name: &str, span: &Span) {
        self.container_is_gone(&begun.audience(), pod, id, name, span).await;
    }

    /// What was made is thrown away before anybody saw it.
    pub(crate) async fn container_discarded(&self, pod: &PodId, id: &ContainerId, span: &Span) {
        self.plugins.discarded(id.as_str());
        self.container_is_gone(&self.plugins.all(), pod, id, "", span).await;
    }

    async fn container_is_gone(&self, told: &Audience, pod: &PodId, id: &ContainerId, name: &str, span: &Span) {
        if !told.is_empty() {
            let container = api::Container {
                id: id.to_string(),
                pod_sandbox_id: pod.to_string(),
                name: name.to_owned(),
                ..api::Container::default()
            };
            let pod = pod_of(&self.publisher, pod).unwrap_or_default();
            told.tell_after(Event::REMOVE_CONTAINER, &pod, Some(&container), span).await;
        }
    }

    /// A container's process is there, and about to run.
    pub(crate) async fn container_starts(&self, id: &ContainerId, pid: u32, span: &Span) -> Result<Starting, Error> {
        let audience = self.plugins.all();
        if audience.is_empty() {
            return Ok(Starting { told: None });
        }
        span.enter(&stages::PLUGINS);
        let Some((pod, mut container)) = container_of(&self.publisher, id).await else {
            return Ok(Starting { told: None });
        };
        container.pid = pid;
        self.plugins.runs(id.as_str());
        let told = audience.tell(Event::START_CONTAINER, &pod, Some(&container), span).await;
        told.map_err(|error| self.refused_by(&error))?;
        container.state = api::ContainerState::CONTAINER_RUNNING.into();
        Ok(Starting { told: Some(Box::new((audience, pod, container))) })
    }

    /// A container has ended. It is told once.
    pub(crate) async fn container_ended(&self, id: &ContainerId, span: &Span) {
        let audience = self.plugins.ended(id.as_str());
        if audience.is_empty() {
            return;
        }
        let Some((pod, mut container)) = container_of(&self.publisher, id).await else { return };
        container.state = api::ContainerState::CONTAINER_STOPPED.into();
        let wishes = audience.tell_stop(&pod, &container, span).await;
        self.carry_out(wishes, span).await;
    }

    /// A container begins to be removed.
    pub(crate) async fn container_leaves(&self, pod: &PodId, id: &ContainerId) -> Departure {
        let audience = self.plugins.leave(id.as_str(), pod.as_str());
        let described = if audience.is_empty() { None } else { container_of(&self.publisher, id).await };
        let (pod, container) = described.unzip();
        Departure { plugins: self.plugins.clone(), id: id.to_string(), audience, pod, container }
    }

    /// What plugins make of a change of a container's limits.
    pub(crate) async fn container_update(
        &self,
        id: &ContainerId,
        change: Resources,
        span: &Span,
    ) -> Result<Resources, Error> {
        let audience = self.plugins.all();
        if audience.is_empty() {
            return Ok(change);
        }
        span.enter(&stages::PLUGINS);
        let Some((pod, container)) = container_of(&self.publisher, id).await else { return Ok(change) };
        let asked = audience.ask_update(&pod, &container, limits::message(&change), span).await;
        let (wanted, wishes) = asked.map_err(|error| self.refused_by(&error))?;
        self.carry_out(wishes, span).await;
        Ok(Resources { oom_score_adj: change.oom_score_adj, ..limits::change(&wanted) })
    }

    /// They are changed.
    pub(crate) async fn container_is_updated(&self, id: &ContainerId, span: &Span) {
        let audience = self.plugins.all();
        if !audience.is_empty()
            && let Some((pod, container)) = container_of(&self.publisher, id).await
        {
            audience.tell_after(Event::POST_UPDATE_CONTAINER, &pod, Some(&container), span).await;
        }
    }

    /// A pod's limits are about to change.
    pub(crate) async fn pod_update(&self, id: &PodId, told: &PodResources, span: &Span) -> Result<(), Error> {
        let audience = self.plugins.all();
        let (false, Some(pod)) = (audience.is_empty(), pod_of(&self.publisher, id)) else { return Ok(()) };
        span.enter(&stages::PLUGINS);
        let limits = |resources: &Option<Resources>| resources.as_ref().map(limits::message).unwrap_or_default();
        let told = audience.tell_pod_update(&pod, limits(&told.overhead), limits(&told.resources), span).await;
        told.map_err(|error| self.refused_by(&error))
    }

    /// They have changed.
    pub(crate) async fn pod_is_updated(&self, id: &PodId, span: &Span) {
        let audience = self.plugins.all();
        if !audience.is_empty()
            && let Some(pod) = pod_of(&self.publisher, id)
        {
            audience.tell_after(Event::POST_UPDATE_POD_SANDBOX, &pod, None, span).await;
        }
    }

    /// All pods and containers that are shown.
    pub(crate) async fn everything(&self) -> (Vec<api::PodSandbox>, Vec<api::Container>) {
        let shown = self.publisher.snapshot();
        let described = tokio::task::spawn_blocking(move || {
            let pods = shown.pods().map(|entry| describe::pod(&PodFacts::from(&entry.pod)));
            (pods.collect(), shown.containers().map(|view| describe::shown(view)).collect())
        });
        described.await.unwrap_or_default()
    }

    async fn carry_out(&self, wishes: PluginWishes, span: &Span) {
        for failed in self.plugins.carry_out_for(wishes, span).await.iter().filter(|update| !update.ignore_failure) {
            tracing::warn!(container = %excerpt(&failed.container_id), "an update that an NRI plugin wants failed");
        }
    }
}

/// A pod that is shown.
fn pod_of(publisher: &Publisher, id: &PodId) -> Option<api::PodSandbox> {
    let shown = publisher.snapshot();
    shown.pod(id).map(|entry| describe::pod(&PodFacts::from(&entry.pod)))
}

/// A container that is shown, and its pod.
async fn container_of(publisher: &Publisher, id: &ContainerId) -> Option<(api::PodSandbox, api::Container)> {
    let shown = publisher.snapshot();
    let (entry, view) = shown.container(id)?;
    let (pod, view) = (describe::pod(&PodFacts::from(&entry.pod)), Arc::clone(view));
    let container = tokio::task::spawn_blocking(move || describe::shown(&view)).await.ok()?;
    Some((pod, container))
}

/// A change of the limits of a container that there is, as a plugin wants it.
pub(crate) fn change(update: &api::ContainerUpdate, cgroup_v2: bool) -> Result<Resources, Error> {
    let resources = update.linux.as_ref().and_then(|linux| linux.resources.as_ref());
    resources.map_or_else(|| Ok(Resources::default()), |wanted| limits::change_of_running(wanted, cgroup_v2))
}

/// A container of whose start plugins were told.
pub(crate) struct Starting {
    told: Option<Box<(Audience, api::PodSandbox, api::Container)>>,
}

impl Starting {
    /// It runs.
    pub(crate) async fn has_started(self, span: &Span) {
        if let Some(told) = self.told {
            let (audience, pod, container) = *told;
            span.enter(&stages::PLUGINS);
            audience.tell_after(Event::POST_START_CONTAINER, &pod, Some(&container), span).await;
        }
    }
}

/// A pod or a container that is being removed.
pub(crate) struct Departure {
    plugins: Plugins,
    id: String,
    audience: Audience,
    pod: Option<api::PodSandbox>,
    container: Option<api::Container>,
}

impl Departure {
    /// Tells what came of it.
    pub(crate) async fn end<T>(self, removed: Result<T, Error>, span: &Span) -> Result<T, Error> {
        let Self { plugins, id, audience, pod, container } = self;
        match (&removed, pod) {
            (Err(_), _) => plugins.stays(&id),
            (Ok(_), Some(pod)) => {
                let event = if container.is_some() { Event::REMOVE_CONTAINER } else { Event::REMOVE_POD_SANDBOX };
                audience.tell_after(event, &pod, container.as_ref(), span).await;
            }
            (Ok(_), None) => {}
        }
        removed
    }
}
