//! Images without a registry: archives of OCI layouts and of `docker save`.
//!
//! An archive is copied, decompressed, to a file without a name in `ingest`, and read in one pass for what is where in
//! it (`unpack::index`). Its list says which images it has (`contents`); of each the manifest for this machine is
//! chosen as of a registry's index (`find`), and its layers go the way of a pull's, from the file in place of a host.
//! All that an archive can be wrong in is found before the first of its images is recorded, and they are recorded in
//! one transaction: either all of them are imported or none. Layers that are here are not looked at, so that an archive
//! that has come before costs its copy alone.

mod archive;
mod contents;
mod docker;
mod error;
mod find;
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

use crate::bounds::{ARCHIVE_DOCUMENTS, ARCHIVE_IMAGES, ARCHIVE_LAYERS, IMAGE_NAMES};
use crate::bring::Bringing;
use crate::catalog::Catalog;
use crate::commit::{Commit, NewImage};
use crate::error::PullError;
use crate::fetch::{ARCHIVES, TransferSlot, WantedLayer};
use crate::layers::Hold;
use crate::model::{Image, ImageId};
use crate::platform::Platform;
use crate::records::archives::{ArchiveContents, ArchiveRow};
use crate::records::{NameClaim, NameRow};
use crate::reference::Reference;
use crate::stages;
use crate::store::Store;
use crate::unpack::ImageCost;
use contents::ArchiveList;
use find::{Finder, FoundImage};
use peapod_trace::Span;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

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
    FoundArchive::read(store, request, source).await?.bring(None).await
}

/// An archive whose images are found, and checked but for their layers.
struct FoundArchive<'a> {
    store: &'a Arc<Store>,
    span: Span,
    images: Vec<FoundImage>,
    pin: bool,
    /// Its turn among archives that clients bring: what so many of them hold in memory is bounded by that.
    _turn: Option<OwnedSemaphorePermit>,
}

/// An image whose layers are all here.
struct ReadyImage {
    new: NewImage,
    was_here: bool,
    _hold: Hold,
}

impl<'a> FoundArchive<'a> {
    async fn read(
        store: &'a Arc<Store>,
        request: ImportRequest,
        source: ArchiveSource,
    ) -> Result<FoundArchive<'a>, ImportError> {
        let ImportRequest { name, platform, pin, span } = request;
        // What is asked for wrongly should not have to come first.
        let registry = &store.config.default_registry;
        let name = name.map(|name| Reference::parse(&name, registry)).transpose().map_err(PullError::from)?;
        let platform =
            platform.map(|text| Platform::parse(&text).map_err(|why| format!("{text:?} is no platform: {why}")));
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
        let turn = slot.and_then(TransferSlot::end_transfer);
        let list = list_of(&archive, registry).await?;
        let images = found(Finder::new(&archive, platform), list, name, pin).await?;
        Ok(Self { store, span, images, pin, _turn: turn })
    }

    /// The images, and the names that they are to have.
    fn contents(&self) -> ArchiveContents {
        ArchiveContents(self.images.iter().map(|image| (image.row.id.clone(), image.meant())).collect())
    }

    /// Leaves out those of the images that are known from before which lack nothing, or whose names lead elsewhere by
    /// now; the others of them take no name from another image. `taken`: where all of the names lead.
    fn only_missing(&mut self, is_known: impl Fn(&FoundImage) -> bool, taken: &HashMap<String, ImageId>) {
        let catalog = self.store.records.catalog();
        self.images.retain_mut(|image| {
            if !is_known(image) {
                return true;
            }
            image.claim = NameClaim::IfFree;
            is_missing(&catalog, &image.row.id, &image.meant(), taken)
        });
    }

    /// Unpacks the layers that are not here, and records everything.
    async fn bring(self, archive: Option<ArchiveRow>) -> Result<Vec<ImportedImage>, ImportError> {
        let Self { store, span, images, pin, _turn } = self;
        let (mut ready, cost) = (Vec::new(), ImageCost::new(store.config.limits));
        for image in images {
            let names = image.rows(pin);
            ready.push(prepare(store, image, names, &cost, &span).await?);
        }
        let (mut new, mut told, mut holds) = (Vec::new(), Vec::new(), Vec::new());
        for ReadyImage { new: image, was_here, _hold } in ready {
            told.push((image.names.iter().map(|name| name.reference.clone()).collect::<Vec<_>>(), was_here));
            new.push(image);
            holds.push(_hold);
        }
        let committed = store.commit(Commit { images: new, archive }, &span).await?;
        drop(holds);
        // Of those that an archive gives to two images the last one has them.
        let imported = |(image, (mut names, was_here)): (Arc<Image>, (Vec<String>, bool))| {
            names.retain(|name| image.repo_tags.contains(name) || image.repo_digests.contains(name));
            ImportedImage { image, names, was_here }
        };
        Ok(committed.into_iter().zip(told).map(imported).collect())
    }
}

/// Whether an image is gone, or all of its names, and one of them is free for it: no other image has that since.
fn is_missing(catalog: &Catalog, id: &ImageId, names: &[String], taken: &HashMap<String, ImageId>) -> bool {
    let is_own = |name: &String| taken.get(name) == Some(id);
    let is_here = catalog.by_id(id).is_some() && names.iter().any(is_own);
    !is_here && names.iter().any(|name| is_own(name) || !taken.contains_key(name))
}

/// What the archive lists.
async fn list_of(archive: &ImageArchive, registry: &str) -> Result<ArchiveList, ImportError> {
    let wrong = ImportError::Archive;
    let layout = archive.list("index.json").await?;
    let layout = layout.map(|index| contents::of_layout(&index, registry)).transpose().map_err(wrong)?;
    let docker = match archive.list("manifest.json").await {
        Ok(list) => list.map_or(Ok(None), |list| contents::of_docker(&list, registry).map(Some)).map_err(wrong),
        Err(error) => Err(error.into()),
    };
    let docker = match docker {
        // With names in one list nobody needs the other, which may be something else by the same name.
        Err(_) if layout.as_ref().is_some_and(|images| contents::is_named(images)) => None,
        docker => docker?,
    };
    if layout.is_none() && docker.is_none() {
        let what = match archive.has("repositories") {
            true => "it was written by a Docker older than 1.10, without manifest.json: save it with a newer one",
            false => "it has neither index.json (an OCI layout) nor manifest.json (docker save)",
        };
        return Err(wrong(what.to_owned()));
    }
    Ok(contents::together(layout, docker))
}

/// Finds all images that are listed.
async fn found(
    mut finder: Finder<'_>,
    list: ArchiveList,
    name: Option<Reference>,
    pin: bool,
) -> Result<Vec<FoundImage>, ImportError> {
    let ArchiveList { images: listed, beside } = list;
    let (mut images, mut documents, mut layers) = (Vec::new(), 0_usize, 0_usize);
    for (image, is_beside) in
        listed.into_iter().map(|image| (image, false)).chain(beside.into_iter().map(|image| (image, true)))
    {
        if is_beside && finder.is_known(&image, &images).await? {
            continue;
        }
        if images.len() == ARCHIVE_IMAGES {
            let many = format!("it lists more than {ARCHIVE_IMAGES} images, which are taken at once");
            return Err(ImportError::Archive(many));
        }
        let image = finder.find(image).await?;
        layers += image.blobs.len();
        if layers > ARCHIVE_LAYERS {
            let many = format!("its images list more than {ARCHIVE_LAYERS} layers, which are taken at once");
            return Err(ImportError::Archive(many));
        }
        documents += image.row.manifest.len() + image.row.config.len();
        if documents > ARCHIVE_DOCUMENTS {
            let problem = format!("manifests and configurations have more than {} MiB", ARCHIVE_DOCUMENTS >> 20);
            return Err(ImportError::Archive(problem));
        }
        images.push(image);
    }
    if images.is_empty() {
        return Err(ImportError::Archive("it lists no image".to_owned()));
    }
    if let Some(name) = name {
        let names = contents::only_name(images.len(), name).map_err(ImportError::Request)?;
        images.iter_mut().for_each(|image| image.names.clone_from(&names));
    }
    let mut names: HashMap<&ImageId, HashSet<String>> = HashMap::new();
    for image in &images {
        let of = names.entry(&image.row.id).or_default();
        of.extend(image.rows(pin).into_iter().map(|name| name.reference));
        if of.len() > IMAGE_NAMES {
            let id = &image.row.id;
            let many = format!("it gives more than {IMAGE_NAMES} names, with those by digest, to image {id}");
            return Err(ImportError::Archive(many));
        }
    }
    if pin && images.iter().any(|image| image.meant().is_empty()) {
        let problem = "an image without a name can't be pinned, for pins belong to names: give it one (--name)";
        return Err(ImportError::Archive(problem.to_owned()));
    }
    Ok(images)
}

/// Unpacks what is missing of an image. Held from before it is looked for, nothing of it goes until it is recorded,
/// whoever removes the same image meanwhile.
async fn prepare(
    store: &Arc<Store>,
    image: FoundImage,
    names: Vec<NameRow>,
    cost: &Arc<ImageCost>,
    span: &Span,
) -> Result<ReadyImage, PullError> {
    let FoundImage { row, blobs, regions, .. } = image;
    let shown = names.first().map_or_else(|| row.id.to_string(), |name| name.reference.clone());
    let bringing = Bringing { store, from: ARCHIVES, image: &shown, files: &[], span };
    let fetch = |layer: WantedLayer, _: Span| {
        let (store, region) = (Arc::clone(store), regions.get(&layer.blob.digest).cloned());
        async move {
            let missing = || PullError::disk(store.fetcher.ingest().path(), std::io::ErrorKind::NotFound.into());
            store.fetcher.unpack_file(region.ok_or_else(missing)?, &layer).await
        }
    };
    let (layers, hold) = bringing.layers(&blobs, &row.diff_ids, cost, fetch).await?;
    let was_here = layers.is_empty() && store.records.catalog().by_id(&row.id).is_some();
    Ok(ReadyImage { new: NewImage { row, layers, names }, was_here, _hold: hold })
}
