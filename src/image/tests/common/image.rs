//! Images made in the test.

use peapod_image::Digest;
use std::io::Write;
use tar::{Builder, EntryType, Header};

#[derive(Clone)]
pub struct Blob {
    pub digest: String,
    pub bytes: Vec<u8>,
}

impl Blob {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { digest: Digest::of(&bytes).to_string(), bytes }
    }
}

/// An archive in the making.
pub struct Tar(pub Builder<Vec<u8>>);

impl Tar {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub fn header(kind: EntryType, mode: u32) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(0);
        header
    }

    /// Writes an entry whose name is taken as it is, however hostile.
    pub fn raw(mut self, name: &str, mut header: Header, content: &[u8], link: Option<&str>) -> Self {
        let long = |tar: &mut Builder<Vec<u8>>, kind: u8, text: &str| {
            let mut extra = Self::header(EntryType::new(kind), 0o644);
            extra.as_gnu_mut().unwrap().name[..13].copy_from_slice(b"././@LongLink");
            extra.set_size(text.len() as u64 + 1);
            extra.set_cksum();
            tar.append(&extra, [text.as_bytes(), b"\0"].concat().as_slice()).unwrap();
        };
        if name.len() > 100 {
            long(&mut self.0, b'L', name);
        }
        if let Some(link) = link {
            if link.len() > 100 {
                long(&mut self.0, b'K', link);
            }
            let short = &link.as_bytes()[..link.len().min(100)];
            header.as_gnu_mut().unwrap().linkname[..short.len()].copy_from_slice(short);
        }
        let short = &name.as_bytes()[..name.len().min(100)];
        header.as_gnu_mut().unwrap().name[..short.len()].copy_from_slice(short);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.raw(name, Self::header(EntryType::Regular, mode), content, None)
    }

    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.raw(name, Self::header(EntryType::Directory, mode), b"", None)
    }

    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(name, Self::header(EntryType::Symlink, 0o777), b"", Some(target))
    }

    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.raw(name, Self::header(EntryType::Link, 0o644), b"", Some(target))
    }

    pub fn pax(mut self, extensions: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(extensions.iter().copied()).unwrap();
        self
    }

    pub fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

pub fn pack(tar: &[u8], packing: Packing) -> Vec<u8> {
    match packing {
        Packing::Plain => tar.to_vec(),
        Packing::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(tar).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::encode_all(tar, 1).unwrap(),
    }
}

/// An image, ready to be pushed.
#[derive(Clone)]
pub struct Built {
    pub config: Blob,
    pub layers: Vec<Blob>,
    pub manifest: Vec<u8>,
    pub manifest_type: String,
}

impl Built {
    pub fn new(layers: &[(Vec<u8>, Packing)], docker: bool) -> Self {
        Self::with_config(layers, docker, &serde_json::json!({"Env": ["PATH=/bin"], "Cmd": ["/bin/true"]}))
    }

    pub fn with_config(layers: &[(Vec<u8>, Packing)], docker: bool, run: &serde_json::Value) -> Self {
        let diff_ids: Vec<String> = layers.iter().map(|(tar, _)| Digest::of(tar).to_string()).collect();
        Self::with_diff_ids(layers, &diff_ids, docker, run)
    }

    pub fn with_diff_ids(
        layers: &[(Vec<u8>, Packing)],
        diff_ids: &[String],
        docker: bool,
        run: &serde_json::Value,
    ) -> Self {
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = Blob::new(serde_json::to_vec(&config).unwrap());
        let (manifest_type, config_type, layer_type) = if docker {
            (
                "application/vnd.docker.distribution.manifest.v2+json",
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        } else {
            (
                "application/vnd.oci.image.manifest.v1+json",
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            )
        };
        let layers: Vec<Blob> = layers.iter().map(|(tar, packing)| Blob::new(pack(tar, *packing))).collect();
        let describe = |kind: &str, blob: &Blob| serde_json::json!({"mediaType": kind, "digest": blob.digest, "size": blob.bytes.len()});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": describe(config_type, &config),
            "layers": layers.iter().map(|layer| describe(layer_type, layer)).collect::<Vec<_>>(),
        });
        Self {
            config,
            layers,
            manifest: serde_json::to_vec(&manifest).unwrap(),
            manifest_type: manifest_type.to_owned(),
        }
    }

    pub fn blobs(&self) -> impl Iterator<Item = &Blob> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}
