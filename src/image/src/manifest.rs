//! Manifests, indexes and configurations: what of them peapod uses. Pure.

use crate::digest::Digest;
use crate::model::ImageConfig;
use oci_spec::image::{ImageConfiguration, ImageIndex, ImageManifest};
use std::collections::BTreeMap;

/// A blob as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What a reference can lead to.
#[derive(Debug)]
pub(crate) enum Document {
    /// One image.
    Manifest(Manifest),
    /// The same image for several platforms.
    Index(Box<ImageIndex>),
}

/// One image's manifest.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    pub(crate) layers: Vec<Blob>,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An image's configuration.
#[derive(Debug)]
pub(crate) struct Configuration {
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) run: ImageConfig,
}

/// What kind of processor and system an image is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    /// What this machine runs, best first; empty where there is but one.
    pub(crate) variants: Vec<&'static str>,
}

/// More layers than overlay takes.
const MAX_LAYERS: usize = 500;

/// Reads what a registry served for a reference.
pub(crate) fn document(bytes: &[u8], media_type: Option<&str>) -> Result<Document, String> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        schema_version: Option<u32>,
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|error| format!("its manifest is no JSON: {error}"))?;
    if shape.schema_version == Some(1) {
        return Err(
            "its manifest has Docker's schema 1, which registries gave up in 2017; push the image again".to_owned()
        );
    }
    let declared = shape.media_type.as_deref().or(media_type).unwrap_or_default();
    if shape.manifests.is_some() && shape.layers.is_none() {
        let index = ImageIndex::from_reader(bytes).map_err(|error| format!("its index is damaged: {error}"))?;
        return Ok(Document::Index(Box::new(index)));
    }
    if shape.layers.is_none() {
        return Err(format!("what it leads to is no image: {declared}"));
    }
    let manifest = ImageManifest::from_reader(bytes).map_err(|error| format!("its manifest is damaged: {error}"))?;
    let kind = manifest.config().media_type().to_string();
    let images = ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];
    if !images.contains(&kind.as_str()) {
        return Err(format!("it is an artifact ({kind}), not an image"));
    }
    if manifest.layers().len() > MAX_LAYERS {
        return Err(format!("it has {} layers; the kernel's overlay takes {MAX_LAYERS}", manifest.layers().len()));
    }
    let annotations = manifest.annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Document::Manifest(Manifest {
        config: blob(manifest.config())?,
        layers: manifest.layers().iter().map(blob).collect::<Result<_, _>>()?,
        annotations,
    }))
}

fn blob(descriptor: &oci_spec::image::Descriptor) -> Result<Blob, String> {
    let kind = descriptor.media_type().to_string();
    if kind.contains("encrypted") {
        return Err(format!("its layers are encrypted ({kind}), which peapod can't read"));
    }
    let digest = descriptor.digest().to_string();
    let digest = Digest::parse(&digest).ok_or_else(|| format!("it names a blob by {digest}; peapod knows sha256"))?;
    Ok(Blob { digest, size: descriptor.size() })
}

/// Reads an image's configuration.
pub(crate) fn configuration(bytes: &[u8]) -> Result<Configuration, String> {
    let parsed =
        ImageConfiguration::from_reader(bytes).map_err(|error| format!("its configuration is damaged: {error}"))?;
    let diff_ids = parsed
        .rootfs()
        .diff_ids()
        .iter()
        .map(|text| Digest::parse(text).ok_or_else(|| format!("its configuration has the diff id {text:?}")))
        .collect::<Result<_, _>>()?;
    let run = parsed.config().as_ref().map_or_else(ImageConfig::default, |config| {
        let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
        let mut volumes = list(config.volumes());
        volumes.sort_unstable();
        ImageConfig {
            user: config.user().clone().unwrap_or_default(),
            entrypoint: list(config.entrypoint()),
            cmd: list(config.cmd()),
            env: list(config.env()),
            working_dir: config.working_dir().clone().unwrap_or_default(),
            stop_signal: config.stop_signal().clone().filter(|signal| !signal.is_empty()),
            labels: config.labels().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            volumes,
        }
    });
    Ok(Configuration { diff_ids, run })
}

impl Platform {
    /// This machine's.
    pub(crate) fn host() -> Self {
        let (architecture, variants): (&str, &[&'static str]) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", &["", "v1", "v2", "v3"]),
            "aarch64" => ("arm64", &["v8", ""]),
            "arm" => ("arm", &["v7", "v6", "v5", ""]),
            "x86" => ("386", &[""]),
            "powerpc64" => ("ppc64le", &[""]),
            other => (other, &[""]),
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variants: variants.to_vec() }
    }

    /// The index's image for this platform, or what it has instead.
    pub(crate) fn choose(&self, index: &ImageIndex) -> Result<Blob, Result<String, String>> {
        let mut best: Option<(usize, &oci_spec::image::Descriptor)> = None;
        let mut offered = Vec::new();
        for descriptor in index.manifests() {
            let Some(platform) = descriptor.platform() else {
                // An index of one image may leave it out.
                best = best.or(Some((usize::MAX, descriptor)));
                continue;
            };
            let (os, architecture) = (platform.os().to_string(), platform.architecture().to_string());
            let variant = platform.variant().as_deref().unwrap_or("");
            let separator = if variant.is_empty() { "" } else { "/" };
            offered.push(format!("{os}/{architecture}{separator}{variant}"));
            if os != self.os || architecture != self.architecture {
                continue;
            }
            let Some(rank) = self.variants.iter().position(|known| *known == variant) else { continue };
            if best.is_none_or(|(best, _)| rank < best) {
                best = Some((rank, descriptor));
            }
        }
        match best {
            Some((_, descriptor)) => blob(descriptor).map_err(Err),
            None => Err(Ok(offered.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Document, Platform, configuration, document};
    use crate::digest::Digest;

    #[test]
    fn a_configuration_as_docker_writes_it_is_read() {
        let text = format!(
            r#"{{"architecture":"amd64","os":"linux","container_config":{{"Image":""}},"created":"2024-01-01T00:00:00Z",
            "config":{{"Hostname":"","User":"www-data:1004","ExposedPorts":{{"80/tcp":{{}}}},"AttachStdin":false,
            "Env":["PATH=/bin","A=b"],"Cmd":["sh","-c","x"],"Entrypoint":null,"Volumes":null,"WorkingDir":"",
            "OnBuild":null,"Labels":null,"StopSignal":"SIGQUIT","ArgsEscaped":true}},
            "history":[{{"created":"2024-01-01T00:00:00Z","created_by":"x","empty_layer":true}}],
            "rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
            Digest::of(b"")
        );
        let read = configuration(text.as_bytes()).unwrap();
        assert_eq!(read.diff_ids, [Digest::of(b"")]);
        assert_eq!(read.run.user, "www-data:1004");
        assert_eq!(read.run.cmd, ["sh", "-c", "x"]);
        assert_eq!(read.run.stop_signal.as_deref(), Some("SIGQUIT"));
        assert!(read.run.entrypoint.is_empty() && read.run.volumes.is_empty());
        let bare = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert!(configuration(bare.as_bytes()).unwrap().diff_ids.is_empty());
    }

    #[test]
    fn the_best_platform_of_an_index_is_chosen() {
        let entry = |seed: &str, platform: &str| {
            let digest = Digest::of(seed.as_bytes());
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":1{platform}}}"#
            )
        };
        let platform = |os: &str, arch: &str, variant: &str| {
            format!(r#","platform":{{"os":"{os}","architecture":"{arch}","variant":"{variant}"}}"#)
        };
        let index = |entries: &[String]| {
            let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
            match document(text.as_bytes(), None).unwrap() {
                Document::Index(index) => *index,
                Document::Manifest(_) => panic!("an index was written"),
            }
        };
        let arm = Platform { os: "linux".into(), architecture: "arm".into(), variants: vec!["v7", "v6", ""] };
        let all = index(&[
            entry("windows", &platform("windows", "arm", "v7")),
            entry("v6", &platform("linux", "arm", "v6")),
            entry("v7", &platform("linux", "arm", "v7")),
            entry("v8", &platform("linux", "arm", "v8")),
        ]);
        assert_eq!(arm.choose(&all).unwrap().digest, Digest::of(b"v7"));
        let none = index(&[entry("a", &platform("linux", "s390x", ""))]);
        assert_eq!(arm.choose(&none).unwrap_err(), Ok("linux/s390x".to_owned()));
        let unnamed = index(&[entry("only", "")]);
        assert_eq!(arm.choose(&unnamed).unwrap().digest, Digest::of(b"only"));
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        let refused = |text: &str| document(text.as_bytes(), Some("application/json")).unwrap_err();
        assert!(refused("<html>").contains("no JSON"));
        assert!(refused(r#"{"schemaVersion":1,"fsLayers":[]}"#).contains("schema 1"));
        assert!(refused(r#"{"schemaVersion":2}"#).contains("no image"));
        let digest = Digest::of(b"");
        let artifact = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{digest}","size":2}},"layers":[]}}"#
        );
        assert!(refused(&artifact).contains("artifact"));
    }
}
