//! One image of an archive, by what lists it.

use super::archive::ImageArchive;
use super::contents::{ImageRoot, ListedArchiveImage};
use super::docker::DockerImage;
use crate::choose::{Chosen, DocumentSource, check_machine, choose, choose_of, understood};
use crate::configuration::{Configuration, configuration};
use crate::digest::Digest;
use crate::error::{PullError, unusable};
use crate::fetch::FileRegion;
use crate::manifest::{Blob, IndexEntry};
use crate::model::ImageId;
use crate::platform::{ImagePlatform, Platform};
use crate::records::{ImageRow, NameClaim, NameRow};
use crate::reference::{Reference, Selector};
use serde_json::json;
use std::collections::HashMap;

/// An image, found in the archive and checked.
pub(super) struct FoundImage {
    pub(super) names: Vec<Reference>,
    /// The digest that the image's names stand for; Docker's list has none.
    top: Option<Digest>,
    /// What becomes of names that others have.
    pub(super) claim: NameClaim,
    pub(super) row: ImageRow,
    pub(super) blobs: Vec<Blob>,
    /// Where the bytes of each blob are.
    pub(super) regions: HashMap<Digest, FileRegion>,
}

/// What is recorded of an image, its layers' blobs, and where these are.
type ImageParts = (ImageRow, Vec<Blob>, HashMap<Digest, FileRegion>);

/// The image of an entry, or of several.
struct ChosenEntry {
    chosen: Chosen,
    top: Digest,
    /// An index says for which platform it is, and it was chosen by that.
    is_listed: bool,
}

/// Looks for the images of an archive.
pub(super) struct Finder<'a> {
    archive: &'a ImageArchive,
    platform: Platform,
    /// The platform is this machine's, by nobody's choice.
    is_host: bool,
    /// What is known of layers that Docker's list names, by where they lie: `None` if they are not compressed. One may
    /// be in every image.
    digests: HashMap<(u64, u64), Option<Digest>>,
}

impl FoundImage {
    fn tags(&self) -> impl Iterator<Item = &Reference> {
        self.names.iter().filter(|name| matches!(name.selector, Selector::Tag(_)))
    }

    fn digests(&self) -> impl Iterator<Item = String> {
        self.top.iter().flat_map(|top| self.names.iter().map(|name| name.with_digest(top)))
    }

    /// The names that it comes for: its tags, or what names its digest where it has none.
    pub(super) fn meant(&self) -> Vec<String> {
        let tags: Vec<String> = self.tags().map(ToString::to_string).collect();
        if tags.is_empty() { self.digests().collect() } else { tags }
    }

    /// All names, as they are recorded.
    pub(super) fn rows(&self, pin: bool) -> Vec<NameRow> {
        let claim = self.claim;
        let row = |reference: String, is_digest| NameRow { reference, is_digest, pin, claim };
        let tags = self.tags().map(|name| row(name.to_string(), false));
        tags.chain(self.digests().map(|name| row(name, true))).collect()
    }
}

impl<'a> Finder<'a> {
    /// `platform`: somebody asked for it.
    pub(super) fn new(archive: &'a ImageArchive, platform: Option<Platform>) -> Self {
        let is_host = platform.is_none();
        Self { archive, platform: platform.unwrap_or_else(Platform::host), is_host, digests: HashMap::new() }
    }

    /// Whether an image of Docker's list is one of those that were found.
    pub(super) async fn is_known(&self, image: &ListedArchiveImage, found: &[FoundImage]) -> Result<bool, PullError> {
        let ImageRoot::Docker(image) = &image.root else { return Ok(false) };
        let id = ImageId(Digest::of(&self.archive.named_config(&image.config).await?));
        Ok(found.iter().any(|found| found.row.id == id))
    }

    pub(super) async fn find(&mut self, listed: ListedArchiveImage) -> Result<FoundImage, PullError> {
        let ListedArchiveImage { names, root } = listed;
        let shown = names.first().map_or_else(|| self.archive.name().to_owned(), ToString::to_string);
        let (top, (row, blobs, regions)) = match root {
            ImageRoot::Docker(image) => (None, self.of_docker(&shown, image).await?),
            ImageRoot::Oci(entries) => {
                let ChosenEntry { chosen, top, is_listed } = self.choose(entries).await?;
                (Some(top), self.of_layout(&shown, chosen, is_listed).await?)
            }
        };
        Ok(FoundImage { names, top, claim: NameClaim::Move, row, blobs, regions })
    }

    /// The image for the platform.
    async fn choose(&self, mut entries: Vec<IndexEntry>) -> Result<ChosenEntry, PullError> {
        let source = DocumentSource::Archive(self.archive);
        if entries.len() == 1
            && let Some(entry) = entries.pop()
        {
            let top = understood(source, source.manifest(&entry.digest).await?)?;
            let chosen = choose(source, &self.platform, top).await?;
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
    async fn of_docker(&mut self, name: &str, image: DockerImage) -> Result<ImageParts, PullError> {
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
            let known = self.digest(&region).await;
            let known = known.map_err(|error| unusable(name, &format!("{file:?} can't be read: {error}")))?;
            // A layer that is not compressed is what its diff id says, or it is wrong: unpacking it tells.
            let digest = known.unwrap_or_else(|| diff_id.clone());
            blobs.push(Blob { digest: digest.clone(), size: region.size });
            regions.insert(digest, region);
        }
        let manifest = manifest_of(&digest, config.len(), &blobs, &diff_ids);
        let annotations = std::collections::BTreeMap::new();
        let row = ImageRow { id: ImageId(digest), diff_ids, run, annotations, manifest, config };
        Ok((row, blobs, regions))
    }

    /// The digest of a compressed layer; each is read once, however often it is listed.
    async fn digest(&mut self, region: &FileRegion) -> std::io::Result<Option<Digest>> {
        let place = (region.start, region.size);
        if let Some(known) = self.digests.get(&place) {
            return Ok(known.clone());
        }
        let digest = if region.is_plain().await? { None } else { Some(region.digest().await?) };
        self.digests.insert(place, digest.clone());
        Ok(digest)
    }

    /// The platform that somebody asked for is kept to; this machine may run others by an emulator.
    fn check_platform(&self, name: &str, target: &ImagePlatform) -> Result<(), PullError> {
        if !self.is_host && self.platform.rank(target).is_none() {
            let (wanted, offered) = (self.platform.to_string(), target.to_string());
            return Err(PullError::NoPlatform { reference: name.to_owned(), wanted, offered });
        }
        check_machine(name, &self.platform, target)
    }
}

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

#[cfg(test)]
mod tests {
    use super::super::ArchiveSource;
    use super::*;
    use crate::scratch::Ingest;
    use std::os::unix::fs::FileExt;

    #[tokio::test]
    async fn a_layer_that_is_listed_often_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let trash = peapod_sys::Trash::open(dir.path().join("trash"), |_, _| {}).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, content) in
            [("packed", &zstd::encode_all(&b"a layer"[..], 1).unwrap()[..]), ("plain", b"another one")]
        {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        let path = dir.path().join("archive.tar");
        std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let source = ArchiveSource::File(file.try_clone().unwrap(), "archive.tar".to_owned());
        let limits = crate::config::Config::new(dir.path().to_owned()).limits;
        let archive = ImageArchive::read(source, &Ingest::new(dir.path(), trash), limits).await.unwrap();
        let mut finder = Finder::new(&archive, None);
        let regions = ["packed", "plain"].map(|name| archive.file(name).unwrap());
        let mut known = Vec::new();
        for region in &regions {
            known.push(finder.digest(region).await.unwrap());
        }
        assert!(known[0].is_some() && known[1].is_none(), "{known:?}");
        // What is read again is found to be another one.
        for region in &regions {
            file.write_all_at(b"BZh9BZh9", region.start).unwrap();
        }
        for (region, known) in regions.iter().zip(known) {
            assert_eq!(finder.digest(region).await.unwrap(), known);
            let fresh = Finder::new(&archive, None).digest(region).await.unwrap();
            assert!(fresh.is_some() && fresh != known, "{fresh:?}");
        }
    }
}
