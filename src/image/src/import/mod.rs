//! Images without a registry: archives of OCI layouts and of `docker save`.
//!
//! An archive is copied, decompressed, to a file without a name in `ingest`, and read in one pass for what is where in
//! it (`unpack::index`). Its list says which images it has (`contents`); of each the manifest for this machine is
//! chosen as of a registry's index, and its layers go the way of a pull's, from the file in place of a host. All that
//! an archive can be wrong in is found before the first of its images is recorded: either all of them are imported or
//! none. Layers that are here are not looked at, so that an archive that has come before costs its copy alone.

mod archive;
mod contents;
mod docker;
mod error;
mod folder;
#[cfg(test)]
mod fuzz;
mod pieces;

pub use archive::ArchiveSource;
pub(crate) use archive::ImageArchive;
pub use error::ImportError;
pub(crate) use folder::import_folder;
pub use folder::{BrokenArchive, FolderImport};
pub use pieces::{PieceReader, PieceWriter, pieces};

use crate::bounds::{ARCHIVE_DOCUMENTS, ARCHIVE_IMAGES};
use crate::bring::Bringing;
use crate::choose::{Chosen, DocumentSource, check_machine, choose, choose_of};
use crate::configuration::{Configuration, configuration};
use crate::digest::Digest;
use crate::error::{PullError, unusable};
use crate::fetch::{ARCHIVES, FileRegion, WantedLayer};
use crate::layers::{Hold, Layer};
use crate::manifest::{Blob, IndexEntry};
use crate::model::{Image, ImageId};
use crate::platform::{ImagePlatform, Platform};
use crate::records::{ImageRow, NameRow};
use crate::reference::{Reference, Selector};
use crate::stages;
use crate::store::Store;
use crate::unpack::ImageCost;
use contents::{ImageRoot, ListedArchiveImage};
use docker::DockerImage;
use peapod_trace::Span;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;

/// What is to become of an archive.
#[derive(Clone, Debug, Default)]
pub struct ImportRequest {
    /// The name of the one image that it has, in place of those that the archive says.
    pub name: Option<String>,
    /// Such as `linux/arm64`; without it this machine's images are taken.
    pub platform: Option<String>,
    /// Whether garbage collection is to leave the images alone.
    pub pin: bool,
    /// What is told the stages.
    pub span: Span,
}

/// An image that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// As it is from now on.
    pub image: Arc<Image>,
    /// The names that the import gave it.
    pub names: Vec<String>,
    /// All of it was here already.
    pub was_here: bool,
}

/// Imports all images of an archive, or none.
pub(crate) async fn import(
    store: &Arc<Store>,
    request: ImportRequest,
    source: ArchiveSource,
) -> Result<Vec<ImportedImage>, ImportError> {
    let ImportRequest { name, platform, pin, span } = request;
    // What is asked for wrongly should not have to come first.
    let registry = &store.config.default_registry;
    let name = name.map(|name| Reference::parse(&name, registry)).transpose().map_err(PullError::from)?;
    let platform = platform.map(|text| Platform::parse(&text).map_err(|why| format!("{text:?} is no platform: {why}")));
    let platform = platform.transpose().map_err(ImportError::Request)?;
    let slot = match &source {
        ArchiveSource::Pieces(_) => {
            span.enter(&stages::SLOT);
            Some(store.fetcher.archive_slot().await)
        }
        ArchiveSource::File(..) => None,
    };
    span.enter(&stages::ARCHIVE);
    let archive = ImageArchive::read(source, store.fetcher.ingest(), store.config.limits).await?;
    drop(slot);
    let mut images = images_of(&archive, registry).await?;
    if let Some(name) = name {
        contents::rename(&mut images, name).map_err(ImportError::Request)?;
    }
    let import =
        Import { store, archive, is_host: platform.is_none(), platform: platform.unwrap_or_else(Platform::host), span };
    import.run(images, pin).await
}

/// The images by the archive's list: OCI's where there are both, unless Docker's alone has names.
async fn images_of(archive: &ImageArchive, registry: &str) -> Result<Vec<ListedArchiveImage>, ImportError> {
    let layout = match archive.list("index.json").await? {
        Some(index) => Some(contents::of_layout(&index, registry).map_err(ImportError::Archive)?),
        None => None,
    };
    let is_named = |images: &Vec<ListedArchiveImage>| images.iter().any(|image| !image.names.is_empty());
    let images = match layout {
        Some(images) if is_named(&images) => images,
        layout => match (archive.list("manifest.json").await?, layout) {
            (Some(list), layout) => {
                let list = docker::docker_images(&list).map_err(ImportError::Archive)?;
                let listed = contents::of_docker(list, registry).map_err(ImportError::Archive)?;
                if is_named(&listed) { listed } else { layout.unwrap_or(listed) }
            }
            (None, Some(images)) => images,
            (None, None) => {
                let what = "it has neither index.json (an OCI layout) nor manifest.json (docker save)";
                return Err(ImportError::Archive(what.to_owned()));
            }
        },
    };
    match images.len() {
        0 => Err(ImportError::Archive("it lists no image".to_owned())),
        count if count > ARCHIVE_IMAGES => {
            Err(ImportError::Archive(format!("it lists {count} images; {ARCHIVE_IMAGES} are taken at once")))
        }
        _ => Ok(images),
    }
}

struct Import<'a> {
    store: &'a Arc<Store>,
    archive: ImageArchive,
    platform: Platform,
    /// The platform is this machine's, by nobody's choice.
    is_host: bool,
    span: Span,
}

/// An image, found in the archive and checked.
struct FoundImage {
    names: Vec<NameRow>,
    row: ImageRow,
    blobs: Vec<Blob>,
    regions: HashMap<Digest, FileRegion>,
}

/// The image of an entry, or of several.
struct ChosenEntry {
    chosen: Chosen,
    /// The digest that the image's name stands for.
    top: Digest,
    /// An index says for which platform it is, and it was chosen by that.
    is_listed: bool,
}

/// What becomes of it: nothing but names, or layers that are here now and have yet to be recorded.
enum ReadyImage {
    Here(ImageId, Vec<NameRow>),
    New { row: Box<ImageRow>, names: Vec<NameRow>, layers: Vec<Arc<Layer>>, _hold: Hold },
}

impl Import<'_> {
    async fn run(self, images: Vec<ListedArchiveImage>, pin: bool) -> Result<Vec<ImportedImage>, ImportError> {
        let (mut found, mut documents) = (Vec::new(), 0_usize);
        for image in images {
            let image = self.find(image, pin).await?;
            documents += image.row.manifest.len() + image.row.config.len();
            if documents > ARCHIVE_DOCUMENTS {
                let problem = format!("manifests and configurations have more than {} MiB", ARCHIVE_DOCUMENTS >> 20);
                return Err(ImportError::Archive(problem));
            }
            if pin && image.names.is_empty() {
                let problem = "an image without a name can't be pinned, for pins belong to names: give it one (--name)";
                return Err(ImportError::Archive(problem.to_owned()));
            }
            found.push(image);
        }
        let (mut ready, cost) = (Vec::new(), ImageCost::new(self.store.config.limits));
        for image in found {
            ready.push(self.prepare(image, &cost).await?);
        }
        let mut imported = Vec::new();
        for image in ready {
            imported.push(self.record(image).await?);
        }
        Ok(imported)
    }

    async fn find(&self, listed: ListedArchiveImage, pin: bool) -> Result<FoundImage, ImportError> {
        let ListedArchiveImage { names, root } = listed;
        let shown = names.first().map_or_else(|| self.archive.name().to_owned(), ToString::to_string);
        let row = |reference: String, is_digest: bool| NameRow { reference, is_digest, pin };
        let tags = names.iter().filter(|name| matches!(name.selector, Selector::Tag(_)));
        let mut rows: Vec<NameRow> = tags.map(|name| row(name.to_string(), false)).collect();
        match root {
            ImageRoot::Docker(image) => {
                let (image, blobs, regions) = self.of_docker(&shown, image).await?;
                Ok(FoundImage { names: rows, row: image, blobs, regions })
            }
            ImageRoot::Oci(entries) => {
                let ChosenEntry { chosen, top, is_listed } = self.choose(entries).await?;
                let named = names.iter().map(|name| row(name.with_digest(&top), true));
                rows.extend(named);
                let (image, blobs, regions) = self.of_layout(&shown, chosen, is_listed).await?;
                Ok(FoundImage { names: rows, row: image, blobs, regions })
            }
        }
    }

    /// The image for the platform.
    async fn choose(&self, mut entries: Vec<IndexEntry>) -> Result<ChosenEntry, PullError> {
        let source = DocumentSource::Archive(&self.archive);
        if entries.len() == 1
            && let Some(entry) = entries.pop()
        {
            let chosen = choose(source, &self.platform, source.manifest(&entry.digest).await?).await?;
            let is_listed = chosen.digest != entry.digest;
            return Ok(ChosenEntry { chosen, top: entry.digest, is_listed });
        }
        let chosen = choose_of(source, &self.platform, entries).await?;
        Ok(ChosenEntry { top: chosen.digest.clone(), chosen, is_listed: true })
    }

    async fn of_layout(&self, name: &str, chosen: Chosen, is_listed: bool) -> Result<ImageParts, PullError> {
        let Chosen { bytes, manifest, configuration: read, .. } = chosen;
        let (config, read) = match read {
            Some(read) => read,
            None => {
                let config = self.archive.config(&manifest.config.digest).await?;
                let read = configuration(&config).map_err(|problem| unusable(name, &problem))?;
                (config, read)
            }
        };
        let Configuration { diff_ids, run, target } = read;
        if !is_listed {
            self.check_platform(name, &target)?;
        }
        let blobs = manifest.layers(diff_ids.len()).map_err(|problem| unusable(name, &problem))?;
        let mut regions = HashMap::new();
        for blob in &blobs {
            regions.insert(blob.digest.clone(), self.archive.layer(blob)?);
        }
        let id = ImageId(manifest.config.digest);
        let row = ImageRow { id, diff_ids, run, annotations: manifest.annotations, manifest: bytes, config };
        Ok((row, blobs, regions))
    }

    /// Docker's list names files, not digests: the manifest is made of what these are.
    async fn of_docker(&self, name: &str, image: DockerImage) -> Result<ImageParts, PullError> {
        let DockerImage { config: file, layers: files, .. } = image;
        let config = self.archive.named_config(&file).await?;
        let digest = Digest::of(&config);
        let stem = file.rsplit('/').next().unwrap_or(&file);
        if let Some(said) = Digest::from_hex(stem.strip_suffix(".json").unwrap_or(stem)).filter(|said| *said != digest)
        {
            return Err(PullError::Digest { what: said, found: digest });
        }
        let read = configuration(&config).map_err(|problem| unusable(name, &problem))?;
        let Configuration { diff_ids, run, target } = read;
        self.check_platform(name, &target)?;
        if files.len() != diff_ids.len() {
            let (files, ids) = (files.len(), diff_ids.len());
            return Err(unusable(name, &format!("its list has {files} layers, its configuration {ids}")));
        }
        let (mut blobs, mut regions) = (Vec::new(), HashMap::new());
        for (file, diff_id) in files.iter().zip(&diff_ids) {
            let region = self.archive.file(file)?;
            let unreadable = |error| unusable(name, &format!("{file:?} can't be read: {error}"));
            // A layer that is not compressed is what its diff id says, or it is wrong: unpacking it tells.
            let digest = match region.is_plain().await.map_err(unreadable)? {
                true => diff_id.clone(),
                false => region.digest().await.map_err(unreadable)?,
            };
            blobs.push(Blob { digest: digest.clone(), size: region.size });
            regions.insert(digest, region);
        }
        let manifest = manifest_of(&digest, config.len(), &blobs, &diff_ids);
        let annotations = std::collections::BTreeMap::new();
        let row = ImageRow { id: ImageId(digest), diff_ids, run, annotations, manifest, config };
        Ok((row, blobs, regions))
    }

    /// The platform that somebody asked for is kept to; this machine may run others by an emulator.
    fn check_platform(&self, name: &str, target: &ImagePlatform) -> Result<(), PullError> {
        if !self.is_host && self.platform.rank(target).is_none() {
            let (wanted, offered) = (self.platform.to_string(), target.to_string());
            return Err(PullError::NoPlatform { reference: name.to_owned(), wanted, offered });
        }
        check_machine(name, &self.platform, target)
    }

    /// Unpacks what is missing of an image.
    async fn prepare(&self, image: FoundImage, cost: &Arc<ImageCost>) -> Result<ReadyImage, PullError> {
        let FoundImage { names, row, blobs, regions } = image;
        if self.store.records.catalog().by_id(&row.id).is_some() {
            self.span.enter(&stages::VERIFY);
            self.store.verifier.verify_image(&row.id).await?;
            if self.store.records.catalog().by_id(&row.id).is_some() {
                return Ok(ReadyImage::Here(row.id, names));
            }
        }
        let shown = names.first().map_or_else(|| row.id.to_string(), |name| name.reference.clone());
        let bringing = Bringing { store: self.store, from: ARCHIVES, image: &shown, span: &self.span };
        let fetch = |layer: WantedLayer, _: Span| {
            let (store, region) = (Arc::clone(self.store), regions.get(&layer.blob.digest).cloned());
            async move {
                let missing = || PullError::disk(store.fetcher.ingest().path(), std::io::ErrorKind::NotFound.into());
                store.fetcher.unpack_file(region.ok_or_else(missing)?, &layer).await
            }
        };
        let (layers, hold) = bringing.layers(&blobs, &row.diff_ids, cost, fetch).await?;
        Ok(ReadyImage::New { row: Box::new(row), names, layers, _hold: hold })
    }

    async fn record(&self, image: ReadyImage) -> Result<ImportedImage, PullError> {
        let named = |names: &[NameRow]| names.iter().map(|name| name.reference.clone()).collect::<Vec<_>>();
        match image {
            ReadyImage::Here(id, names) => {
                self.span.enter(&stages::RECORD);
                let given = named(&names);
                let image = self.store.name(id.clone(), names).await?;
                let gone = || PullError::Cancelled { reference: id.to_string() };
                Ok(ImportedImage { image: image.ok_or_else(gone)?, names: given, was_here: true })
            }
            ReadyImage::New { row, names, layers, _hold } => {
                let given = named(&names);
                let image = self.store.commit(*row, layers, names, &self.span).await?;
                Ok(ImportedImage { image, names: given, was_here: false })
            }
        }
    }
}

/// What is recorded of an image, its layers' blobs, and where these are.
type ImageParts = (ImageRow, Vec<Blob>, HashMap<Digest, FileRegion>);

/// The manifest that an image would have in a registry, with the layers as they were in the archive.
fn manifest_of(config: &Digest, size: usize, blobs: &[Blob], diff_ids: &[Digest]) -> Vec<u8> {
    let layer = |(blob, diff_id): (&Blob, &Digest)| {
        // Of others it is not known which compression they have, and nobody needs it.
        let kind = if blob.digest == *diff_id { "tar" } else { "tar+gzip" };
        let media_type = format!("application/vnd.oci.image.layer.v1.{kind}");
        json!({ "mediaType": media_type, "digest": blob.digest.as_str(), "size": blob.size })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config.as_str(),
            "size": size,
        },
        "layers": blobs.iter().zip(diff_ids).map(layer).collect::<Vec<_>>(),
    });
    manifest.to_string().into_bytes()
}
