//! ImageStatus: one image by any of its names. An absent one is an answer without image, not an error. Reads
//! memory only; the verbose form also the image's record.

use std::collections::BTreeMap;

use peapod_api::v1::{ImageStatusRequest, ImageStatusResponse};
use peapod_image::Image;
use peapod_trace::SpanSubject;
use serde_json::{Value, json};

use crate::cri::convert::{image, reference};
use crate::cri::status::Answer;
use crate::cri::{Services, operations};

pub(super) async fn handle(services: &Services, request: ImageStatusRequest) -> Answer<ImageStatusResponse> {
    let name = reference(request.image)?;
    let Some(found) = services.images.resolve(&name) else {
        let info = if request.verbose { of_absent(services, &name) } else { BTreeMap::new() };
        return Ok(ImageStatusResponse { image: None, info });
    };
    let info = if request.verbose { info(services, &found).await } else { BTreeMap::new() };
    Ok(ImageStatusResponse { image: Some(image(&found)), info })
}

/// What is done for an image that is not there, such as a pull that has begun.
fn of_absent(services: &Services, name: &str) -> BTreeMap<String, String> {
    let is_it = |subject: &SpanSubject| subject.container_name().is_empty() && subject.image() == name;
    operations::beside([], operations::about(&services.tracer, is_it))
}

/// `imageSpec` is the image's whole configuration, as other runtimes show it.
async fn info(services: &Services, image: &Image) -> BTreeMap<String, String> {
    let config = &image.config;
    let image_spec = match services.images.configuration(&image.id).await {
        Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
        Err(error) => {
            tracing::warn!(%error, "an image's configuration can't be shown");
            None
        }
    };
    let info = json!({
        "user": config.user,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "env": config.env,
        "workingDir": config.working_dir,
        "stopSignal": config.stop_signal,
        "labels": config.labels,
        "volumes": config.volumes,
        "imageSpec": image_spec.unwrap_or(Value::Null),
    });
    let is_it = |name: &str| services.images.resolve(name).is_some_and(|found| found.id == image.id);
    let operations = operations::about(&services.tracer, |subject| {
        // A container is made of an image, and is another thing.
        subject.container_name().is_empty() && !subject.image().is_empty() && is_it(subject.image())
    });
    operations::beside([("info", info)], operations)
}
