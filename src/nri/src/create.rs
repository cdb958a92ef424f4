//! A container that is being made: what plugins want of it, and whether that may be.

use peapod_text::excerpt;
use peapod_trace::Span;
use protobuf::MessageField;

use crate::adjust::Merge;
use crate::api::{
    Container, ContainerAdjustment, CreateContainerResponse, Event, PluginInstance, PodSandbox,
    ValidateContainerAdjustmentRequest, ValidateContainerAdjustmentResponse,
};
use crate::audience::{ask, parsed};
use crate::plugin::Plugin;
use crate::plugins::Begun;
use crate::state::{PluginRefusal, PluginWishes};

/// What plugins want of a container that is being made, and of others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adjusted {
    /// Of the container.
    pub adjustment: ContainerAdjustment,
    /// Of others.
    pub wishes: PluginWishes,
}

impl Begun {
    /// Asks each plugin in its turn what the container shall be like, and whether it may be so.
    ///
    /// # Errors
    /// A plugin refused, two want different things, a required one is gone, or what they want is forbidden.
    pub async fn adjust(&self, pod: &PodSandbox, container: Container, span: &Span) -> Result<Adjusted, PluginRefusal> {
        let pristine = container.clone();
        let mut merge = Merge::of(container);
        for plugin in self.asked().iter().filter(|plugin| plugin.events.has(Event::CREATE_CONTAINER)) {
            let request = crate::plugin::about(pod, Some(merge.container()));
            let answer = ask(plugin, Event::CREATE_CONTAINER, &request, span).await?;
            if let Some(response) = parsed::<CreateContainerResponse>(plugin, answer) {
                merge.add(&response, &plugin.name)?;
            }
        }
        self.check_required(pod, merge.container())?;
        if let Some(rules) = self.rules() {
            rules.check(&merge)?;
        }
        self.validate(pod, pristine, &merge, span).await?;
        let (adjustment, updates) = merge.finish();
        Ok(Adjusted { adjustment, wishes: PluginWishes::of(updates) })
    }

    /// Has validators look at all of it. One that fails has not said that it may be so.
    async fn validate(
        &self,
        pod: &PodSandbox,
        pristine: Container,
        merge: &Merge,
        span: &Span,
    ) -> Result<(), PluginRefusal> {
        let event = Event::VALIDATE_CONTAINER_ADJUSTMENT;
        // One that was closed before is none any more.
        let is_there = |plugin: &&std::sync::Arc<Plugin>| !plugin.link.is_closed();
        let validators: Vec<_> = self.asked().iter().filter(|p| p.events.has(event)).filter(is_there).collect();
        if validators.is_empty() {
            return Ok(());
        }
        let instance = |plugin: &std::sync::Arc<Plugin>| PluginInstance {
            name: plugin.name.name().to_owned(),
            index: plugin.name.index().to_owned(),
            ..PluginInstance::default()
        };
        let there = self.asked().iter().filter(is_there);
        let request = ValidateContainerAdjustmentRequest {
            pod: MessageField::some(pod.clone()),
            container: MessageField::some(pristine),
            adjust: MessageField::some(merge.adjustment().clone()),
            update: merge.updates.list().to_vec(),
            owners: MessageField::some(merge.owners.message()),
            plugins: there.map(instance).collect(),
            ..ValidateContainerAdjustmentRequest::default()
        };
        for validator in validators {
            let answer = ask(validator, event, &request, span).await?;
            let verdict = parsed::<ValidateContainerAdjustmentResponse>(validator, answer);
            let method = "ValidateContainerAdjustment";
            match verdict {
                Some(verdict) if !verdict.reject => {}
                Some(verdict) => {
                    return Err(PluginRefusal::by(&validator.name, method, &excerpt(&verdict.reason).to_string()));
                }
                None => return Err(PluginRefusal::by(&validator.name, method, "it failed, and was closed")),
            }
        }
        Ok(())
    }
}
