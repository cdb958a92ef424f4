//! CreateContainer: everything is looked up and checked, and the configuration that follows is kept. Nothing runs.

use std::sync::Arc;

use peapod_image::Image;
use peapod_nri::Begun;
use peapod_spec::container::{ContainerMount, ContainerSpec};
use peapod_sys::fail_point;
use peapod_text::excerpt;
use peapod_trace::Span;

use super::adjusted::{self, AdjustedContainer};
use super::configure::make;
use super::image_mounts::{self, ImageMounts};
use super::look_up::{LeasedLayers, defaults};
use super::stop_signal::stop_signal;
use super::{ContainerContext, kept, sandboxed_fields, users};
use crate::checkpoint::{self, ContainerBase};
use crate::clock;
use crate::error::Error;
use crate::id::ContainerId;
use crate::plugins;
use crate::record::{ContainerOrigin, ContainerPhase, ContainerRecord, ImageMount, MadeFrom};
use crate::stages;

/// A container that can be recorded.
#[derive(Debug)]
pub(crate) struct CreatedContainer {
    pub(crate) record: ContainerRecord,
}

/// Checks a request against image and node, keeps the image's layers for it, and its configuration in its bundle. After
/// an error nothing is kept.
pub(crate) async fn create(
    context: &ContainerContext,
    id: &ContainerId,
    spec: &Arc<ContainerSpec>,
    span: &Span,
) -> Result<CreatedContainer, Error> {
    context.handler.serves(&context.pod_id)?;
    let containers = &context.containers;
    // An image has no mounts below it.
    let is_recursive = |mount: &ContainerMount| mount.recursive_read_only && mount.image().is_none();
    if let Some(index) = spec.mounts.iter().position(is_recursive)
        && !context.handler.features().await.recursive_read_only
    {
        return Err(Error::Invalid {
            field: format!("mounts[{index}].recursive_read_only"),
            reason: "the OCI runtime of the pod's handler does not say that it can do this".to_owned(),
        });
    }
    users::check(&context.pod, spec)?;
    sandboxed_fields::check_container(context.handler.runtime()?, spec)?;
    let image = checkpoint::find(&containers.images, containers.settings.get().restores, &spec.image)?;
    if let ContainerBase::Image(image) = &image {
        refuse_artifact(image)?;
    }
    let image_mounts = image_mounts::find(&spec.mounts, &containers.images)?;
    // Usually its start is asked for as soon as this is answered.
    containers.warm_up.begin();
    let _making = containers.making.begin(id);
    plugins::started(&context.plugins, span).await;
    let begun = context.plugins.begin_container(id);
    let prepared = async {
        let (image, is_restored) = match image {
            ContainerBase::Image(image) => (image, false),
            ContainerBase::Checkpoint(source) => {
                let image = checkpoint::take(context, id, source, span).await?;
                refuse_artifact(&image)?;
                (image, true)
            }
        };
        let created = prepare(context, id, spec, (image, image_mounts), &begun, span).await?;
        let origin = ContainerOrigin { is_restored, ..created.record.origin };
        Ok(CreatedContainer { record: ContainerRecord { origin, ..created.record } })
    };
    let outcome = prepared.await;
    if outcome.is_ok() {
        begun.made();
    } else {
        span.fail();
        context.plugins.container_undone(&begun, &context.pod_id, id, &spec.metadata.name, span).await;
        span.enter(&stages::UNDO);
        if let Err(error) = containers.remove(None, &context.pod_id, id).await {
            tracing::warn!(%error, "what a container has that could not be made stays until the next start");
        }
    }
    outcome
}

fn refuse_artifact(image: &Image) -> Result<(), Error> {
    if !image.config.is_artifact() {
        return Ok(());
    }
    let kind = excerpt(&image.config.artifact_type);
    let reason = format!("it is an artifact ({kind}): its files can be mounted as a volume, there is nothing to run");
    Err(Error::Invalid { field: "image".to_owned(), reason })
}

async fn prepare(
    context: &ContainerContext,
    id: &ContainerId,
    spec: &Arc<ContainerSpec>,
    (image, image_mounts): (Arc<Image>, Vec<ImageMount>),
    begun: &Begun,
    span: &Span,
) -> Result<CreatedContainer, Error> {
    let containers = &context.containers;
    let leased = containers.images.lease(&image.id, id.as_str()).await;
    let rootfs = leased.map_err(|error| Error::failed("keep the image", &error))?;
    let bundle = context.bundle(id);
    let mounts = ImageMounts::lease(&containers.images, id.as_str(), &bundle, &image_mounts).await?;
    fail_point("container-leased");
    span.enter(&stages::LOOK_UP);
    let (defaults_of_image, layers) = (defaults(&image.config), LeasedLayers { rootfs, mounts });
    let made = make(context, id, spec, defaults_of_image.clone(), layers.clone()).await?;
    fail_point("container-checked");
    let AdjustedContainer { made, recorded } =
        adjusted::adjust(context, (id, spec), (made, defaults_of_image, layers), begun, span).await?;
    span.enter(&stages::CONFIGURATION);
    let config = made.config;
    let kept = tokio::task::spawn_blocking(move || kept::keep(&bundle, &config).map(|()| config));
    let config = kept.await.map_err(|error| Error::failed("keep the configuration", &error))??;
    fail_point("container-kept");
    context.plugins.container_is_made(begun, &context.pod_id, (id, spec), &config, span).await;
    let (stop_signal, note) = stop_signal(spec.stop_signal, image.config.stop_signal.as_deref());
    containers.warn_once.warn(made.notes.into_iter().chain(note));
    let record = ContainerRecord {
        phase: ContainerPhase::Created,
        created_at: clock::now(),
        origin: ContainerOrigin {
            image_id: image.id.to_string(),
            image_name: shown_name(&image, spec),
            image_ref: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
            is_restored: false,
        },
        user: made.user.ids,
        made_from: MadeFrom { image: Some(defaults(&image.config)), adjusted: recorded },
        stop_signal,
        cgroup: context.group(id),
        stop_deadline: None,
        needs_cleanup: false,
        image_mounts,
    };
    Ok(CreatedContainer { record })
}

/// The name that users know: a tag of the image that they wrote, else any tag, a digest, the id.
fn shown_name(image: &Image, spec: &ContainerSpec) -> String {
    let wanted = [&spec.user_specified_image, &spec.image];
    image
        .repo_tags
        .iter()
        .find(|tag| wanted.contains(tag))
        .or_else(|| image.repo_tags.first())
        .or_else(|| image.repo_digests.first())
        .cloned()
        .unwrap_or_else(|| image.id.to_string())
}
