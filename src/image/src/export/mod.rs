//! Images into an archive, which is an OCI layout and one of `docker save` at once.
//!
//! What came of a layer is its directory alone, not the bytes that a registry sent: so the layer is written anew, and
//! with it the digests that the archive says are others than the registry's. An image has there the files, owners,
//! modes, times, links, devices and attributes that it has here, and the same configuration but for its list of layers;
//! under its names, with an id of its own. What is written always has the same bytes.
//!
//! An archive's list names blobs by digests that come before their bytes: each layer is read twice, first for its
//! digest. Nothing is kept on disk meanwhile.

mod documents;
mod error;
mod hidden;
mod sinks;
mod tree;

pub use error::ExportError;

use crate::config::UnpackLimits;
use crate::configuration::configuration;
use crate::digest::Digest;
use crate::layers::Hold;
use crate::model::{Image, ImageId};
use crate::records::{self, chains, present};
use crate::reference::Reference;
use crate::store::Store;
use documents::{blob_path, config_of, docker_list_of, index_of, manifest_of};
pub(crate) use hidden::HiddenPaths;
use sinks::{CheckedSink, HashSink, PieceSink};
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;
pub(crate) use tree::write_changed;
use tree::write_tree;

/// Pieces that wait until somebody takes them.
const WAITING: usize = 4;

/// An archive, piece by piece. Dropped, it ends whoever writes it.
#[derive(Debug)]
pub struct ExportedPieces(mpsc::Receiver<Result<Vec<u8>, ExportError>>);

impl ExportedPieces {
    /// The next piece; `None` once all are taken. After an error nothing comes.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ExportError>> {
        self.0.recv().await
    }
}

/// An image to be written, whose layers are held.
struct WantedImage {
    id: ImageId,
    names: Vec<Reference>,
    annotations: std::collections::BTreeMap<String, String>,
    config: Vec<u8>,
    diff_ids: Vec<Digest>,
    /// Lowest first.
    layers: Vec<PathBuf>,
    _hold: Hold,
}

/// One that is ready: everything but its layers' bytes.
struct WrittenImage {
    names: Vec<Reference>,
    config: Vec<u8>,
    manifest: Vec<u8>,
    layers: Vec<WrittenLayer>,
}

struct WrittenLayer {
    digest: Digest,
    size: u64,
    path: PathBuf,
}

/// Begins to write those images; the same one under several names is there once.
pub(crate) async fn export(store: &Arc<Store>, images: &[String]) -> Result<ExportedPieces, ExportError> {
    let mut wanted: Vec<WantedImage> = Vec::new();
    for name in images {
        let image = store.records.catalog().resolve(name, &store.config.default_registry);
        let image = image.ok_or_else(|| ExportError::NotFound { image: name.clone() })?;
        let reference = Reference::parse(name, &store.config.default_registry).ok();
        let reference = reference.filter(|name| image.repo_tags.contains(&name.to_string()));
        match wanted.iter_mut().find(|known| known.id == image.id) {
            // Who names it twice gets it once.
            Some(known) => known.names.extend(reference.filter(|name| !known.names.contains(name))),
            None => wanted.push(look_up(store, &image, reference).await?),
        }
    }
    let limits = store.config.limits;
    let (sender, pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = PieceSink::new(sender);
        if let Err(error) = write_archive(&wanted, limits, &mut out) {
            out.fail(error);
        }
    });
    Ok(ExportedPieces(pieces))
}

async fn look_up(store: &Arc<Store>, image: &Image, name: Option<Reference>) -> Result<WantedImage, ExportError> {
    let id = image.id.clone();
    let lost = || ExportError::Lost { image: id.to_string() };
    if image.config.is_artifact() {
        let kind = peapod_text::excerpt(&image.config.artifact_type);
        let problem = format!("it is an artifact ({kind}), which archives of images don't have");
        return Err(ExportError::Image { image: id.to_string(), problem });
    }
    store.verifier.verify_image(&id).await?;
    let own = id.clone();
    let config = store.records.read(move |connection| records::configuration(connection, &own)).await?;
    let config = config.ok_or_else(lost)?;
    let read = configuration(&config).map_err(|problem| ExportError::Image { image: id.to_string(), problem })?;
    let chains = chains(&read.diff_ids);
    let hold = store.holds.hold(&chains);
    let asked = chains.clone();
    let found = store.records.write(move |tx| present(tx, &asked)).await?;
    let path = |chain: &Digest| found.get(chain).map(|short| store.dir.path().join(short).join("diff"));
    let layers = chains.iter().map(path).collect::<Option<Vec<_>>>().ok_or_else(lost)?;
    Ok(WantedImage {
        id: id.clone(),
        names: name.into_iter().collect(),
        annotations: image.annotations.clone(),
        config,
        diff_ids: read.diff_ids,
        layers,
        _hold: hold,
    })
}

/// Blocks.
fn write_archive(wanted: &[WantedImage], limits: UnpackLimits, out: &mut PieceSink) -> Result<(), ExportError> {
    let mut images = Vec::new();
    for image in wanted {
        images.push(prepare(image, limits, out)?);
    }
    let mut archive = tar::Builder::new(&mut *out);
    let written = write_all(&mut archive, &images, limits);
    let ended = written.and_then(|()| archive.into_inner().map(drop).map_err(gone));
    ended?;
    out.flush().map_err(gone)
}

/// Where nobody takes the pieces any more there is nobody to be told.
fn gone(source: io::Error) -> ExportError {
    ExportError::Disk { path: PathBuf::new(), source }
}

/// Finds what the layers are as archives, and makes the documents that say so.
fn prepare(image: &WantedImage, limits: UnpackLimits, out: &PieceSink) -> Result<WrittenImage, ExportError> {
    let mut layers = Vec::new();
    for path in &image.layers {
        let mut sink = HashSink::new(out);
        write_tree(path, limits, &mut sink).map_err(|source| ExportError::Disk { path: path.clone(), source })?;
        let (digest, size) = sink.finish();
        layers.push(WrittenLayer { digest, size, path: path.clone() });
    }
    let config = config_of(image, &layers)?;
    let manifest = manifest_of(image, &config, &layers);
    Ok(WrittenImage { names: image.names.clone(), config, manifest, layers })
}

fn write_all(
    archive: &mut tar::Builder<&mut PieceSink>,
    images: &[WrittenImage],
    limits: UnpackLimits,
) -> Result<(), ExportError> {
    // What says what is there comes first.
    file(archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    file(archive, "index.json", index_of(images).to_string().as_bytes())?;
    file(archive, "manifest.json", docker_list_of(images).to_string().as_bytes())?;
    let mut there = HashSet::new();
    for image in images {
        for document in [&image.manifest, &image.config] {
            let digest = Digest::of(document);
            if there.insert(digest.clone()) {
                file(archive, &blob_path(&digest), document)?;
            }
        }
        for layer in image.layers.iter().filter(|layer| there.insert(layer.digest.clone())) {
            write_layer(archive, layer, limits)?;
        }
    }
    Ok(())
}

fn write_layer(
    archive: &mut tar::Builder<&mut PieceSink>,
    layer: &WrittenLayer,
    limits: UnpackLimits,
) -> Result<(), ExportError> {
    let WrittenLayer { digest, size, path } = layer;
    let disk = |source| ExportError::Disk { path: path.clone(), source };
    let header = header_of(&blob_path(digest), *size).map_err(disk)?;
    let out = archive.get_mut();
    out.write_all(header.as_bytes()).map_err(gone)?;
    let mut sink = CheckedSink::new(out);
    write_tree(path, limits, &mut sink).map_err(disk)?;
    if sink.finish() != *digest {
        return Err(disk(io::Error::other(
            "the layer changed while it was read: its disk is damaged, or root wrote to it",
        )));
    }
    let padding = usize::try_from(size.next_multiple_of(512) - size).unwrap_or_default();
    out.write_all(&[0; 512][..padding]).map_err(gone)
}

fn header_of(name: &str, size: u64) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(Path::new(name))?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

fn file(archive: &mut tar::Builder<&mut PieceSink>, name: &str, content: &[u8]) -> Result<(), ExportError> {
    let written = header_of(name, content.len() as u64).and_then(|header| archive.append(&header, content));
    written.map_err(gone)
}
