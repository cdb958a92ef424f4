//! Archives of images, made in the test.

use super::image::{Blob, Built, Tar};
use peapod_image::{ArchiveSource, Digest, pieces};
use serde_json::{Value, json};

/// An entry of an index.
pub fn entry(kind: &str, bytes: &[u8], more: &Value) -> Value {
    let mut entry = json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry
}

/// That of an image with a name.
pub fn named(image: &Built, name: &str) -> Value {
    entry(&image.manifest_type, &image.manifest, &json!({"annotations": {"io.containerd.image.name": name}}))
}

pub fn blob_name(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::of(bytes).hex())
}

/// An OCI layout with these entries in its list, and these blobs.
pub fn layout(entries: &[Value], blobs: &[&[u8]]) -> Vec<u8> {
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    let mut tar = Tar::new().file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#).dir("blobs/", 0o755);
    for blob in blobs {
        tar = tar.file(&blob_name(blob), 0o644, blob);
    }
    tar.file("index.json", 0o644, index.as_bytes()).finish()
}

pub fn blobs(image: &Built) -> Vec<&[u8]> {
    image.blobs().map(|blob: &Blob| &blob.bytes[..]).chain([&image.manifest[..]]).collect()
}

/// An image, as `docker save` wrote it for long: layers in folders of their own.
pub fn docker(image: &Built, layers: &[Vec<u8>], names: &[&str]) -> Vec<u8> {
    let config = format!("{}.json", Digest::parse(&image.config.digest).unwrap().hex());
    let files: Vec<String> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let list = json!([{"Config": config, "RepoTags": names, "Layers": files}]).to_string();
    let mut tar = Tar::new().file(&config, 0o644, &image.config.bytes);
    for (file, layer) in files.iter().zip(layers) {
        tar = tar.file(file, 0o644, layer);
    }
    tar.file("manifest.json", 0o644, list.as_bytes()).finish()
}

/// What a client sends, in pieces of that size.
pub fn sent(archive: &[u8], size: usize) -> ArchiveSource {
    let (writer, reader) = pieces();
    let pieces: Vec<Vec<u8>> = archive.chunks(size).map(<[u8]>::to_vec).collect();
    tokio::spawn(async move {
        for piece in pieces {
            if !writer.write(piece).await {
                return;
            }
        }
        writer.finish().await;
    });
    ArchiveSource::Pieces(reader)
}
