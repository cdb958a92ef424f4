//! Plugins that are told of something, or asked.

use std::sync::Arc;

use peapod_text::excerpt;
use peapod_trace::Span;
use protobuf::{Message, MessageField};

use crate::adjust::UpdateMerge;
use crate::api::{
    Container, Event, LinuxResources, PodSandbox, UpdateContainerRequest, UpdateContainerResponse,
    UpdatePodSandboxRequest,
};
use crate::call::{self, PluginCallError};
use crate::plugin::{self, Plugin};
use crate::state::{PluginRefusal, PluginWishes, PluginsState};

/// Plugins that are told of something.
#[derive(Clone, Debug)]
pub struct Audience {
    pub(crate) state: Arc<PluginsState>,
    pub(crate) told: Vec<Arc<Plugin>>,
}

impl Audience {
    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Tells an event: each plugin in its turn.
    ///
    /// # Errors
    /// A plugin refused, or one that is required is gone.
    pub async fn tell(
        &self,
        event: Event,
        pod: &PodSandbox,
        container: Option<&Container>,
        span: &Span,
    ) -> Result<(), PluginRefusal> {
        let request = plugin::about(pod, container);
        let told = self.told.iter().filter(|plugin| plugin.events.has(event));
        for plugin in told {
            heard(plugin, event, plugin.event(event, &request, span).await)?;
        }
        match event {
            Event::RUN_POD_SANDBOX | Event::START_CONTAINER => self.state.check_required(pod, container),
            _ => Ok(()),
        }
    }

    /// The same of what has happened and can't be refused: what plugins say against it is logged.
    pub async fn tell_after(&self, event: Event, pod: &PodSandbox, container: Option<&Container>, span: &Span) {
        let request = plugin::about(pod, container);
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(event)) {
            if let Err(error) = heard(plugin, event, plugin.event(event, &request, span).await) {
                tracing::warn!(%error, "that is past");
            }
        }
    }

    /// Tells that a container has ended, and answers what is wanted of others.
    pub async fn tell_stop(&self, pod: &PodSandbox, container: &Container, span: &Span) -> PluginWishes {
        let request = plugin::about(pod, Some(container));
        let mut merge = UpdateMerge::of(&container.id, None);
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::STOP_CONTAINER)) {
            let answered = plugin.event(Event::STOP_CONTAINER, &request, span).await;
            let heard = heard(plugin, Event::STOP_CONTAINER, answered);
            let added = heard.and_then(|answer| match parsed::<UpdateContainerResponse>(plugin, answer) {
                Some(response) => Ok(merge.add(&response, &plugin.name)?),
                None => Ok(()),
            });
            if let Err(error) = added {
                tracing::warn!(%error, container = %excerpt(&container.id), "the container has ended all the same");
            }
        }
        PluginWishes::of(merge.finish().1)
    }

    /// Asks what the limits of a container shall be that somebody changes. Answers them, and what is wanted of others.
    ///
    /// # Errors
    /// A plugin refused, or two want different things.
    pub async fn ask_update(
        &self,
        pod: &PodSandbox,
        container: &Container,
        resources: LinuxResources,
        span: &Span,
    ) -> Result<(LinuxResources, PluginWishes), PluginRefusal> {
        let mut merge = UpdateMerge::of(&container.id, Some(resources));
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::UPDATE_CONTAINER)) {
            let request = UpdateContainerRequest {
                pod: MessageField::some(pod.clone()),
                container: MessageField::some(container.clone()),
                resources: merge.own.clone().into(),
                ..UpdateContainerRequest::default()
            };
            let answer = ask(plugin, Event::UPDATE_CONTAINER, &request, span).await?;
            if let Some(response) = parsed::<UpdateContainerResponse>(plugin, answer) {
                merge.add(&response, &plugin.name)?;
            }
        }
        let (own, updates) = merge.finish();
        Ok((own.unwrap_or_default(), PluginWishes::of(updates)))
    }

    /// Tells that limits of a pod change.
    ///
    /// # Errors
    /// A plugin refused.
    pub async fn tell_pod_update(
        &self,
        pod: &PodSandbox,
        overhead: LinuxResources,
        resources: LinuxResources,
        span: &Span,
    ) -> Result<(), PluginRefusal> {
        let request = UpdatePodSandboxRequest {
            pod: MessageField::some(pod.clone()),
            overhead: MessageField::some(overhead),
            resources: MessageField::some(resources),
            ..UpdatePodSandboxRequest::default()
        };
        for plugin in self.told.iter().filter(|plugin| plugin.events.has(Event::UPDATE_POD_SANDBOX)) {
            ask(plugin, Event::UPDATE_POD_SANDBOX, &request, span).await?;
        }
        Ok(())
    }
}

/// Calls a plugin; one that can't be called any more answers nothing.
pub(crate) async fn ask(
    plugin: &Plugin,
    event: Event,
    request: &impl Message,
    span: &Span,
) -> Result<Option<Vec<u8>>, PluginRefusal> {
    let method = call::method(event).unwrap_or_default();
    let payload = plugin::bytes(request);
    let answered = match payload {
        Ok(payload) => plugin.call(method, payload, span).await,
        Err(error) => Err(error),
    };
    heard(plugin, event, answered)
}

/// What a plugin's answer means: one that can't be called any more is no reason to refuse anything.
fn heard(
    plugin: &Plugin,
    event: Event,
    answered: Result<Vec<u8>, PluginCallError>,
) -> Result<Option<Vec<u8>>, PluginRefusal> {
    let method = call::method(event).unwrap_or_default();
    match answered {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_fatal() => {
            tracing::warn!(plugin = %plugin.name, method, %error, "an NRI plugin is closed; what it was asked goes on");
            Ok(None)
        }
        Err(error) => Err(PluginRefusal::by(&plugin.name, method, &error.to_string())),
    }
}

/// What a plugin answered; `None`, and it is closed, if that is nonsense.
pub(crate) fn parsed<T: Message>(plugin: &Plugin, answer: Option<Vec<u8>>) -> Option<T> {
    let answer = answer?;
    let message = T::parse_from_bytes(&answer);
    if message.is_err() {
        plugin.close_at_fault(PluginCallError::Malformed.to_string());
        tracing::warn!(plugin = %plugin.name, "an NRI plugin is closed: it answered what is no answer");
    }
    message.ok()
}
