//! Archives as Docker writes them, and what they share with those of others.

use super::archive::{blob_name, entry};
use super::image::{Blob, Built, Packing, Tar};
use peapod_image::Digest;
use serde_json::{Value, json};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const LAYOUT: &[u8] = br#"{"imageLayoutVersion": "1.0.0"}"#;

/// The layers of an image, lowest first; the text is in the top one.
pub fn layers(text: &str) -> [Vec<u8>; 2] {
    ["below", text].map(|text| Tar::new().dir("etc/", 0o755).file("etc/text", 0o644, text.as_bytes()).finish())
}

pub fn image(text: &str, packing: Packing) -> Built {
    Built::new(&layers(text).map(|layer| (layer, packing)), false)
}

pub fn docker_image(text: &str, packing: Packing) -> Built {
    Built::new(&layers(text).map(|layer| (layer, packing)), true)
}

pub fn hex(blob: &Blob) -> &str {
    blob.digest.strip_prefix("sha256:").unwrap()
}

pub fn of(blob: &[u8]) -> String {
    Digest::of(blob).hex().to_owned()
}

pub trait Files: Sized {
    fn blobs(self, blobs: &[&[u8]]) -> Self;
    fn json(self, name: &str, value: &Value) -> Self;
    /// All that an image of a layout is.
    fn whole(self, image: &Built) -> Self;
}

impl Files for Tar {
    fn blobs(self, blobs: &[&[u8]]) -> Self {
        blobs.iter().fold(self, |tar, blob| tar.file(&blob_name(blob), 0o444, blob))
    }

    fn json(self, name: &str, value: &Value) -> Self {
        self.file(name, 0o644, format!("{value}\n").as_bytes())
    }

    fn whole(self, image: &Built) -> Self {
        image.blobs().fold(self, |tar, blob| tar.blobs(&[&blob.bytes])).blobs(&[&image.manifest])
    }
}

pub fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
}

pub fn annotated(image: &Built, annotations: &Value) -> Value {
    entry(&image.manifest_type, &image.manifest, &json!({ "annotations": annotations }))
}

pub fn blob_paths(blobs: &[Blob]) -> Vec<String> {
    blobs.iter().map(|blob| blob_name(&blob.bytes)).collect()
}

/// With names as containerd and Docker give them.
pub fn both(name: &str, tag: &str) -> Value {
    json!({"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag})
}

/// Up to Docker 24: a folder for each layer, one that is there already as a link.
pub fn docker_24() -> Vec<u8> {
    let (one, two) = (docker_image("one", Packing::Plain), docker_image("two", Packing::Plain));
    let mut tar = Tar::new();
    let folder = |image: usize, layer: usize| format!("{image}{layer}").repeat(32);
    for (number, image) in [&one, &two].into_iter().enumerate() {
        for (layer, blob) in image.layers.iter().enumerate() {
            let id = folder(number, layer);
            tar = tar.dir(&format!("{id}/"), 0o755).file(&format!("{id}/VERSION"), 0o644, b"1.0");
            tar = tar.json(&format!("{id}/json"), &json!({"id": id, "created": "1970-01-01T00:00:00Z"}));
            tar = match (number, layer) {
                (1, 0) => tar.symlink(&format!("{id}/layer.tar"), &format!("../{}/layer.tar", folder(0, 0))),
                _ => tar.file(&format!("{id}/layer.tar"), 0o644, &blob.bytes),
            };
        }
        tar = tar.file(&format!("{}.json", hex(&image.config)), 0o644, &image.config.bytes);
    }
    let listed = |number: usize, image: &Built, names: Value| {
        let layers: Vec<_> = (0..2).map(|layer| format!("{}/layer.tar", folder(number, layer))).collect();
        json!({"Config": format!("{}.json", hex(&image.config)), "RepoTags": names, "Layers": layers})
    };
    let list = json!([listed(0, &one, json!(["one:1", "example.com/one:2"])), listed(1, &two, Value::Null)]);
    let repositories = json!({"one": {"1": folder(0, 1)}, "example.com/one": {"2": folder(0, 1)}});
    tar.json("manifest.json", &list).json("repositories", &repositories).finish()
}

/// From Docker 25 on, with its own store: a layout and Docker's list, in which everything is a blob.
pub fn docker_25(images: &[(&Built, &[&str])], index: &Value) -> Vec<u8> {
    let mut tar = Tar::new().dir("blobs/", 0o755).dir("blobs/sha256/", 0o755);
    let mut list = Vec::new();
    for (image, names) in images {
        let legacy = json!({"id": hex(&image.config), "os": "linux"}).to_string();
        tar = tar.whole(image).blobs(&[legacy.as_bytes()]);
        let source = |blob: &Blob| {
            let kind = "application/vnd.oci.image.layer.v1.tar";
            (blob.digest.clone(), json!({"mediaType": kind, "digest": blob.digest, "size": blob.bytes.len()}))
        };
        let sources: serde_json::Map<String, Value> = image.layers.iter().map(source).collect();
        list.push(json!({
            "Config": blob_name(&image.config.bytes),
            "RepoTags": if names.is_empty() { Value::Null } else { json!(names) },
            "Layers": blob_paths(&image.layers),
            "LayerSources": sources,
        }));
    }
    tar = tar.json("index.json", index).json("manifest.json", &json!(list)).file("oci-layout", 0o644, LAYOUT);
    tar.json("repositories", &json!({"one": {"1": "0".repeat(64)}})).finish()
}

pub fn docker_25_named() -> Vec<u8> {
    let one = image("one", Packing::Plain);
    let names = [both("docker.io/library/one:1", "1"), both("example.com/one:2", "2")];
    docker_25(&[(&one, &["one:1", "example.com/one:2"])], &index(&names.map(|name| annotated(&one, &name))))
}

/// An image that was saved by its id or digest, by Docker 25.0.0.
pub fn docker_25_0_0_by_digest() -> Vec<u8> {
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": null});
    docker_25(&[(&image("one", Packing::Plain), &[])], &list)
}

/// One by its name and one by its id: the layout lists one of them.
pub fn docker_25_by_name_and_id() -> Vec<u8> {
    let (one, two) = (image("one", Packing::Plain), image("two", Packing::Plain));
    let list = index(&[annotated(&one, &both("docker.io/library/one:1", "1"))]);
    docker_25(&[(&one, &["one:1"]), (&two, &[])], &list)
}

/// Two by their ids: the layout lists one of them.
pub fn docker_25_by_ids() -> Vec<u8> {
    let (one, two) = (image("one", Packing::Plain), image("two", Packing::Plain));
    docker_25(&[(&one, &[]), (&two, &[])], &index(&[entry(MANIFEST, &one.manifest, &json!({}))]))
}
