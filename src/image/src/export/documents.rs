//! What an archive says of its images. Pure.

use super::error::ExportError;
use super::{WantedImage, WrittenImage, WrittenLayer};
use crate::digest::Digest;
use crate::reference::Selector;
use serde_json::{Value, json};

/// The image's manifest, with the layers as they are now.
pub(super) fn manifest_of(image: &WantedImage, config: &[u8], layers: &[WrittenLayer]) -> Vec<u8> {
    let layer = |layer: &WrittenLayer| {
        let kind = "application/vnd.oci.image.layer.v1.tar";
        json!({ "mediaType": kind, "digest": layer.digest.as_str(), "size": layer.size })
    };
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::of(config).as_str(),
            "size": config.len(),
        },
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    if !image.annotations.is_empty()
        && let Value::Object(members) = &mut manifest
    {
        members.insert("annotations".to_owned(), json!(image.annotations));
    }
    manifest.to_string().into_bytes()
}

/// The image's configuration with the layers as they are now.
pub(super) fn config_of(image: &WantedImage, layers: &[WrittenLayer]) -> Result<Vec<u8>, ExportError> {
    if image.diff_ids.iter().eq(layers.iter().map(|layer| &layer.digest)) {
        return Ok(image.config.clone());
    }
    let unusable = |problem: &str| ExportError::Image { image: image.id.to_string(), problem: problem.to_owned() };
    let mut config: Value = serde_json::from_slice(&image.config)
        .map_err(|error| unusable(&format!("its configuration can't be written anew: {error}")))?;
    let members = config.as_object_mut().ok_or_else(|| unusable("its configuration is no object"))?;
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    members.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    Ok(config.to_string().into_bytes())
}

/// `index.json`.
pub(super) fn index_of(images: &[WrittenImage]) -> Value {
    let mut entries = Vec::new();
    for image in images {
        let entry = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": Digest::of(&image.manifest).as_str(),
            "size": image.manifest.len(),
        });
        if image.names.is_empty() {
            entries.push(entry.clone());
        }
        for name in &image.names {
            let tag = match &name.selector {
                Selector::Tag(tag) => tag.clone(),
                Selector::Digest(digest) => digest.to_string(),
            };
            let mut entry = entry.clone();
            entry["annotations"] = json!({
                "io.containerd.image.name": name.to_string(),
                "org.opencontainers.image.ref.name": tag,
            });
            entries.push(entry);
        }
    }
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries })
}

/// `manifest.json`, as Docker reads it.
pub(super) fn docker_list_of(images: &[WrittenImage]) -> Value {
    let image = |image: &WrittenImage| {
        json!({
            "Config": blob_path(&Digest::of(&image.config)),
            "RepoTags": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "Layers": image.layers.iter().map(|layer| blob_path(&layer.digest)).collect::<Vec<_>>(),
        })
    };
    Value::Array(images.iter().map(image).collect())
}

/// Where a blob lies.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
