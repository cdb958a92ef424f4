//! A container as the node's plugins want it.

use std::sync::Arc;

use peapod_nri::Begun;
use peapod_spec::bounds::CDI_DEVICES;
use peapod_spec::container::ContainerSpec;
use peapod_spec::{Adjustment, Config, Configured, ImageDefaults, StartAdjustment, update_resources};
use peapod_trace::Span;

use super::ContainerContext;
use super::configure::{invalid, make};
use super::look_up::LeasedLayers;
use crate::cpuset;
use crate::error::Error;
use crate::id::ContainerId;
use crate::plugins::{WantedContainer, possible, refused};
use crate::record::RecordedAdjustment;
use crate::stages;

/// A container's configuration, with what is to be known of its adjustment later.
pub(super) struct AdjustedContainer {
    pub(super) made: Configured,
    pub(super) recorded: Option<Box<RecordedAdjustment>>,
}

/// Asks plugins what a container shall be like, and makes it so. Without plugins nothing is done.
pub(super) async fn adjust(
    context: &ContainerContext,
    (id, spec): (&ContainerId, &Arc<ContainerSpec>),
    (made, image, layers): (Configured, ImageDefaults, LeasedLayers),
    begun: &Begun,
    span: &Span,
) -> Result<AdjustedContainer, Error> {
    let plugins = &context.plugins;
    if plugins.is_unasked(begun, &context.pod_id, Some(&spec.metadata.name))? {
        return Ok(AdjustedContainer { made, recorded: None });
    }
    span.enter(&stages::PLUGINS);
    match plugins.container_asked(begun, &context.pod_id, (id, spec), &made.config, span).await? {
        Some(wanted) => possible(plugins, apply(context, (id, spec), (made, image, layers), wanted, span).await),
        None => Ok(AdjustedContainer { made, recorded: None }),
    }
}

/// Makes a container as plugins want it.
async fn apply(
    context: &ContainerContext,
    (id, spec): (&ContainerId, &Arc<ContainerSpec>),
    (mut made, image, layers): (Configured, ImageDefaults, LeasedLayers),
    wanted: WantedContainer,
    span: &Span,
) -> Result<AdjustedContainer, Error> {
    let WantedContainer { adjustment, limits, oom_score_adj, cdi_devices } = wanted;
    check_features(context, &adjustment).await?;
    let node = &context.containers.facts;
    cpuset::check(&limits, node.cgroup_v2, "NRI: ")?;
    let mut given = ContainerSpec::clone(spec);
    given.resources = update_resources(&spec.resources, &limits).map_err(|error| invalid(&error))?;
    given.resources.oom_score_adj = oom_score_adj.unwrap_or(spec.resources.oom_score_adj).clamp(-1000, 1000);
    given.cdi_devices.extend(cdi_devices.into_iter().filter(|name| !spec.cdi_devices.contains(name)));
    if given.cdi_devices.len() > CDI_DEVICES {
        return Err(refused(format!("{} CDI devices; {CDI_DEVICES} are the most", given.cdi_devices.len())));
    }
    let has_others = given != **spec;
    let resources = given.resources.clone();
    if has_others {
        span.enter(&stages::LOOK_UP);
        made = make(context, id, &Arc::new(given), image, layers).await?;
    }
    made.config.adjust(&adjustment, context.pod.namespaces.users).map_err(|error| refused(error.to_string()))?;
    let is_known_later = resources != spec.resources || adjustment.at_start != StartAdjustment::default();
    let recorded = is_known_later.then(|| {
        Box::new(RecordedAdjustment { asked: spec.resources.clone(), given: resources, at_start: adjustment.at_start })
    });
    Ok(AdjustedContainer { made, recorded })
}

/// What an OCI runtime does not know it passes over without a word.
async fn check_features(context: &ContainerContext, adjustment: &Adjustment) -> Result<(), Error> {
    let Adjustment { process, linux, .. } = adjustment;
    let wanted = [
        ("scheduler", matches!(process.scheduler, Some(Some(_)))),
        ("io_priority", matches!(process.io_priority, Some(Some(_)))),
        ("net_devices", linux.net_devices.iter().any(|(_, wanted)| wanted.is_some())),
        ("rdt", matches!(linux.intel_rdt, Some(Some(_)))),
        ("memory_policy", linux.memory_policy.is_some()),
    ];
    if !wanted.iter().any(|(_, is_wanted)| *is_wanted) {
        return Ok(());
    }
    let has = context.handler.features().await;
    let can = [has.priorities, has.priorities, has.net_devices, has.intel_rdt, has.memory_policy];
    let missing = wanted.into_iter().zip(can).find(|((_, is_wanted), can)| *is_wanted && !can);
    missing.map_or(Ok(()), |((field, _), _)| {
        let reason = "the OCI runtime of the pod's handler does not say that it can do this: take a later one, or runc";
        Err(refused(format!("{field}: {reason}")))
    })
}

/// Says again, in the configuration of a start, what plugins made of it when it was made.
pub(super) fn at_start(config: &mut Config, adjusted: Option<&RecordedAdjustment>) -> Result<(), Error> {
    let Some(adjusted) = adjusted else { return Ok(()) };
    config.adjust_for_start(&adjusted.at_start).map_err(|error| invalid(&error))
}
