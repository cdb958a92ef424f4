//! ImageStatus: one image by any of its names. An absent one is an answer without image, not an error. Reads memory only.

use std::collections::BTreeMap;

use peapod_api::v1::{ImageStatusRequest, ImageStatusResponse};
use peapod_image::Image;
use serde_json::json;

use crate::cri::Node;
use crate::cri::convert::{image, reference};
use crate::cri::status::Answer;

pub(super) fn handle(node: &Node, request: ImageStatusRequest) -> Answer<ImageStatusResponse> {
    let Some(found) = node.images.resolve(&reference(request.image)?) else {
        return Ok(ImageStatusResponse::default());
    };
    let info = if request.verbose { info(&found) } else { BTreeMap::new() };
    Ok(ImageStatusResponse { image: Some(image(&found)), info })
}

fn info(image: &Image) -> BTreeMap<String, String> {
    let config = &image.config;
    let info = json!({
        "user": config.user,
        "entrypoint": config.entrypoint,
        "cmd": config.cmd,
        "env": config.env,
        "workingDir": config.working_dir,
        "stopSignal": config.stop_signal,
        "labels": config.labels,
        "volumes": config.volumes,
    });
    BTreeMap::from([("info".to_owned(), info.to_string())])
}
