//! Manifests and indexes: what of them peapod uses. Pure.
//!
//! What an index lists beside images for some machine (attestations, signatures, artifacts, damaged entries) is passed
//! over: it is never chosen, and never an error.

use crate::artifact::{self, ArtifactManifest};
pub(crate) use crate::blob::Blob;
use crate::bounds::{
    ANNOTATION_BYTES, ARTIFACT_NAME, DESCRIPTOR_TEXT, ERROR_TEXT, IMAGE_NAME_TEXT, INDEX_ENTRIES, LAYERS,
};
use crate::digest::Digest;
use crate::lenient::{self, Field, Pairs, Shape, Text};
use crate::platform::ImagePlatform;
use crate::reference::Reference;
use peapod_text::collapsed;
use serde::de::{IgnoredAny, MapAccess, SeqAccess};
use std::collections::BTreeMap;

/// What a reference can lead to.
#[derive(Debug)]
pub(crate) enum Document {
    /// One image.
    Manifest(Manifest),
    /// Files that are no image.
    Artifact(ArtifactManifest),
    /// The same image for several platforms: those entries that may be one.
    Index(Vec<IndexEntry>),
}

/// An image, or a further index, that an index lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) digest: Digest,
    /// What it is for, if the index says so.
    pub(crate) target: Option<ImagePlatform>,
    /// By its media type.
    pub(crate) is_index: bool,
    /// The reference that whoever made an archive gave it; no registry says one.
    pub(crate) name: Option<String>,
}

/// One image's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Each with whether its media type is one of layers.
    layers: Vec<(Blob, bool)>,
}

impl Manifest {
    /// The blobs of an image whose configuration has so many diff ids. Where the manifest lists more, those that are no
    /// layers by their type are left out.
    pub(crate) fn layers(&self, diff_ids: usize) -> Result<Vec<Blob>, String> {
        let all = || self.layers.iter().map(|(blob, _)| blob.clone()).collect::<Vec<_>>();
        let typed = || self.layers.iter().filter(|(_, typed)| *typed).map(|(blob, _)| blob.clone()).collect::<Vec<_>>();
        [all(), typed()]
            .into_iter()
            .find(|layers| layers.len() == diff_ids)
            .ok_or_else(|| format!("its manifest has {} layers, its configuration {diff_ids}", self.layers.len()))
    }
}

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// What some registries make of a configuration's type when an image is pushed to them.
const UNTYPED: [&str; 3] = ["", "application/octet-stream", "application/json"];
/// What containerd, Docker and BuildKit call an image in an archive: in full.
const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The same of OCI's layouts: a tag alone, or in full.
const OCI_NAME: &str = "org.opencontainers.image.ref.name";
/// What a blob is called as a file.
const TITLE: &str = "org.opencontainers.image.title";
/// How BuildKit marks what it says about an image.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Reads what a registry served for a reference. What is wrong with it is said on one line, of bounded length.
pub(crate) fn document(bytes: &[u8], media_type: Option<&str>) -> Result<Document, String> {
    read(bytes, media_type).map_err(|problem| collapsed(&problem, ERROR_TEXT))
}

fn read(bytes: &[u8], media_type: Option<&str>) -> Result<Document, String> {
    let read = lenient::read::<ManifestDocument>(bytes).map_err(|error| format!("its manifest is no JSON: {error}"))?;
    let Field::Is(top) = read else { return Err("its manifest is no JSON object".to_owned()) };
    let declared = match top.media_type.usable() {
        Some(Text(text)) => plain(&text),
        None => plain(media_type.unwrap_or_default()),
    };
    if top.version == Field::Is(1) || top.is_schema_1 || declared.contains("docker.distribution.manifest.v1") {
        return Err(
            "its manifest has Docker's schema 1, which registries gave up in 2017; push the image again".to_owned()
        );
    }
    match (top.manifests, top.layers, top.config) {
        // Docker 25.0.0 wrote an index of nothing so.
        (Field::Absent, Field::Absent, Field::Absent) if declared == OCI_INDEX => Ok(Document::Index(Vec::new())),
        (Field::Absent, Field::Absent, Field::Absent) => {
            let why = if declared.is_empty() { "it names no configuration and no manifests" } else { &declared };
            Err(format!("what it leads to is no image: {why}"))
        }
        (Field::Absent, layers, config) => {
            let annotations = top.annotations.usable().unwrap_or_default().0;
            match config_of(config, declared == DOCKER_MANIFEST)? {
                ConfigKind::Image(config) => {
                    let layers = layer_blobs(layers)?.into_iter().map(|layer| (layer.blob, layer.is_typed)).collect();
                    Ok(Document::Manifest(Manifest { config, annotations, layers }))
                }
                ConfigKind::Other(kind) => {
                    let artifact_type = top.artifact_type.usable().map(|Text(text)| plain(&text));
                    let kind = artifact_type.filter(|kind| !kind.is_empty()).unwrap_or(kind);
                    let blobs = layer_blobs(layers)?.into_iter().map(|layer| (layer.blob, layer.kind, layer.title));
                    let files = artifact::files(blobs.collect())?;
                    Ok(Document::Artifact(ArtifactManifest { kind, annotations, files }))
                }
            }
        }
        (manifests, Field::Absent, Field::Absent) => {
            let Entries(entries) = manifests.or_default("its index's \"manifests\"")?;
            Ok(Document::Index(entries))
        }
        // Two readers would take it for two things.
        _ => Err("what it leads to is manifest and index at once".to_owned()),
    }
}

/// A media type without parameters, in small letters.
fn plain(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What a manifest's configuration is of.
enum ConfigKind {
    Image(Blob),
    /// Something else, of that type.
    Other(String),
}

fn config_of(config: Field<Descriptor>, docker: bool) -> Result<ConfigKind, String> {
    let Field::Is(config) = config else {
        return Err("its manifest's \"config\" is no descriptor".to_owned());
    };
    let kind = config.media_type.as_str();
    let is_image = [OCI_CONFIG, DOCKER_CONFIG].contains(&kind) || kind.is_empty() || docker && UNTYPED.contains(&kind);
    if !is_image {
        return Ok(ConfigKind::Other(config.media_type));
    }
    config.blob("its manifest's \"config\"").map(ConfigKind::Image)
}

/// A blob that a manifest lists.
struct ListedBlob {
    blob: Blob,
    kind: String,
    /// Its type is one of layers.
    is_typed: bool,
    title: Option<String>,
}

fn layer_blobs(layers: Field<ManifestLayers>) -> Result<Vec<ListedBlob>, String> {
    let layers = layers.or_default("its manifest's \"layers\"")?;
    if layers.count > LAYERS {
        return Err(format!("it has {} layers; the kernel's overlay takes {LAYERS}", layers.count));
    }
    let blob = |(index, layer): (usize, Field<Descriptor>)| {
        let name = format!("its manifest's layer {}", index + 1);
        let Field::Is(mut layer) = layer else { return Err(format!("{name} is no descriptor")) };
        if layer.media_type.contains("encrypted") {
            return Err(format!("its layers are encrypted ({}), which peapod can't read", layer.media_type));
        }
        let kind = std::mem::take(&mut layer.media_type);
        let is_typed = ["layer", "rootfs", "tar"].iter().any(|part| kind.contains(part)) || UNTYPED.contains(&&*kind);
        let title = layer.title.take();
        Ok(ListedBlob { blob: layer.blob(&name)?, kind, is_typed, title })
    };
    layers.first.into_iter().enumerate().map(blob).collect()
}

/// What may be a manifest or an index.
struct ManifestDocument {
    version: Field<u64>,
    media_type: Field<Text<DESCRIPTOR_TEXT>>,
    manifests: Field<Entries>,
    layers: Field<ManifestLayers>,
    config: Field<Descriptor>,
    annotations: Field<Pairs<ANNOTATION_BYTES>>,
    artifact_type: Field<Text<DESCRIPTOR_TEXT>>,
    is_schema_1: bool,
}

impl Shape for ManifestDocument {
    const WHAT: &'static str = "an object";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let mut top = Self {
            version: Field::Absent,
            media_type: Field::Absent,
            manifests: Field::Absent,
            layers: Field::Absent,
            config: Field::Absent,
            annotations: Field::Absent,
            artifact_type: Field::Absent,
            is_schema_1: false,
        };
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "schemaVersion" => top.version = members.next_value()?,
                "mediaType" => top.media_type = members.next_value()?,
                "manifests" => top.manifests = members.next_value()?,
                "layers" => top.layers = members.next_value()?,
                "config" => top.config = members.next_value()?,
                "annotations" => top.annotations = members.next_value()?,
                "artifactType" => top.artifact_type = members.next_value()?,
                other => {
                    top.is_schema_1 |= other == "fsLayers";
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Field::Is(top))
    }
}

/// The layers of a manifest: the first of them, and how many there are.
#[derive(Default)]
struct ManifestLayers {
    first: Vec<Field<Descriptor>>,
    count: usize,
}

impl Shape for ManifestLayers {
    const WHAT: &'static str = "a list";

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let mut layers = Self::default();
        while layers.first.len() < LAYERS
            && let Some(layer) = items.next_element()?
        {
            layers.first.push(layer);
            layers.count += 1;
        }
        while layers.count >= LAYERS && items.next_element::<IgnoredAny>()?.is_some() {
            layers.count += 1;
        }
        Ok(Field::Is(layers))
    }
}

/// The entries of an index that may be images or further indexes.
#[derive(Default)]
struct Entries(Vec<IndexEntry>);

impl Shape for Entries {
    const WHAT: &'static str = "a list";
    const LIMIT: &'static str = "1000 images";

    fn list<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Field<Self>, A::Error> {
        let mut entries = Some(Vec::new());
        while let Some(item) = items.next_element::<Field<Descriptor>>()? {
            let Some(entry) = item.usable().and_then(Descriptor::entry) else { continue };
            entries = entries.filter(|entries: &Vec<IndexEntry>| entries.len() < INDEX_ENTRIES);
            if let Some(entries) = &mut entries {
                entries.push(entry);
            }
        }
        Ok(entries.map_or(Field::Large, |entries| Field::Is(Self(entries))))
    }
}

/// How documents name others.
struct Descriptor {
    /// Without parameters; empty if there is none.
    media_type: String,
    digest: Field<Text<DESCRIPTOR_TEXT>>,
    size: Field<u64>,
    target: Field<ImagePlatform>,
    /// It says about an image, or is something else than one.
    is_beside: bool,
    name: Option<String>,
    /// What a file of an artifact is called; longer than can be used where it was too long.
    title: Option<String>,
}

impl Shape for Descriptor {
    const WHAT: &'static str = "a descriptor";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let (mut digest, mut size, mut target) = (Field::Absent, Field::Absent, Field::Absent);
        let mut media_type = Field::<Text<DESCRIPTOR_TEXT>>::Absent;
        let (mut artifact, mut marks) = (Field::<Text<DESCRIPTOR_TEXT>>::Absent, Field::<Marks>::Absent);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "mediaType" => media_type = members.next_value()?,
                "digest" => digest = members.next_value()?,
                "size" => size = members.next_value()?,
                "platform" => target = members.next_value()?,
                "artifactType" => artifact = members.next_value()?,
                "annotations" => marks = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        let media_type = match media_type {
            Field::Absent => String::new(),
            Field::Is(Text(text)) => plain(&text),
            Field::Wrong | Field::Large => return Ok(Field::Wrong),
        };
        let artifact = !matches!(artifact, Field::Absent) && artifact != Field::Is(Text::default());
        let Marks { is_reference, name, title } = marks.usable().unwrap_or_default();
        Ok(Field::Is(Self { media_type, digest, size, target, is_beside: artifact || is_reference, name, title }))
    }
}

impl Descriptor {
    /// As an entry of an index, if it may be chosen.
    fn entry(self) -> Option<IndexEntry> {
        let is_index = [OCI_INDEX, DOCKER_LIST].contains(&self.media_type.as_str());
        let is_manifest = ["", OCI_MANIFEST, DOCKER_MANIFEST].contains(&self.media_type.as_str());
        let target = match self.target {
            Field::Absent => None,
            Field::Is(target) => Some(target),
            Field::Wrong | Field::Large => return None,
        };
        let can_be_fetched = matches!(self.size, Field::Is(1..)) && !self.is_beside && (is_index || is_manifest);
        let digest = Digest::parse(&self.digest.usable()?.0)?;
        can_be_fetched.then_some(IndexEntry { digest, target, is_index, name: self.name })
    }

    fn blob(self, name: &str) -> Result<Blob, String> {
        let size = match self.size {
            Field::Is(size) if i64::try_from(size).is_ok() => size,
            _ => return Err(format!("{name} has no usable size")),
        };
        let Field::Is(Text(text)) = self.digest else { return Err(format!("{name} has no usable digest")) };
        let digest = Digest::parse(&text).ok_or_else(|| format!("{name} is named by {text:?}; peapod knows sha256"))?;
        Ok(Blob { digest, size })
    }
}

/// What the annotations of a descriptor say that matters.
#[derive(Default)]
struct Marks {
    is_reference: bool,
    name: Option<String>,
    title: Option<String>,
}

impl Shape for Marks {
    const WHAT: &'static str = "an object of texts";

    fn object<'de, A: MapAccess<'de>>(mut members: A) -> Result<Field<Self>, A::Error> {
        let (mut is_reference, mut full, mut usual, mut title) = (false, None, None, None);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                CONTAINERD_NAME => full = members.next_value::<Field<Text<IMAGE_NAME_TEXT>>>()?.usable(),
                OCI_NAME => usual = members.next_value::<Field<Text<IMAGE_NAME_TEXT>>>()?.usable(),
                TITLE => {
                    title = match members.next_value::<Field<Text<ARTIFACT_NAME>>>()? {
                        Field::Is(Text(text)) => Some(text),
                        Field::Large => Some("x".repeat(ARTIFACT_NAME + 1)),
                        Field::Absent | Field::Wrong => None,
                    };
                }
                other => {
                    is_reference |= other == REFERENCE_TYPE;
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        // containerd has images under their ids, too, which read like a tag of a repository.
        let full = full.filter(|Text(name)| Digest::parse(name).is_none());
        // Many write only the tag there, and nothing says of which repository; anything else is allowed.
        let is_name = |name: &str| Digest::parse(name).is_none() && Reference::parse(name, "docker.io").is_ok();
        let usual = usual.filter(|Text(name)| name.contains([':', '/', '@']) && is_name(name));
        Ok(Field::Is(Self { is_reference, name: full.or(usual).map(|Text(name)| name), title }))
    }
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
