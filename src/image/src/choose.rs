//! From a reference to the one manifest for this machine, through as many indexes as lie between.

use crate::artifact::ArtifactManifest;
use crate::bounds::{ERROR_TEXT, INDEX_DEPTH, INDEX_DOCUMENTS, OFFERED_PLATFORMS};
use crate::configuration::{Configuration, configuration};
use crate::digest::Digest;
use crate::error::{PullError, unusable};
use crate::import::ImageArchive;
use crate::manifest::{Document, IndexEntry, Manifest, document};
use crate::platform::{ImagePlatform, Platform};
use crate::reference::Selector;
use crate::registry::{Fetched, Session};
use peapod_text::collapsed;

/// Where documents are looked for.
#[derive(Clone, Copy)]
pub(crate) enum DocumentSource<'a> {
    Registry(&'a Session),
    Archive(&'a ImageArchive),
}

impl DocumentSource<'_> {
    /// For errors: a reference, or the archive.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Registry(session) => session.reference.to_string(),
            Self::Archive(archive) => archive.name().to_owned(),
        }
    }

    pub(crate) async fn manifest(self, digest: &Digest) -> Result<Fetched, PullError> {
        match self {
            Self::Registry(session) => session.manifest(&Selector::Digest(digest.clone())).await,
            Self::Archive(archive) => archive.manifest(digest).await,
        }
    }

    pub(crate) async fn config(self, digest: &Digest) -> Result<Vec<u8>, PullError> {
        match self {
            Self::Registry(session) => session.config(digest).await,
            Self::Archive(archive) => archive.config(digest).await,
        }
    }
}

/// The image for this machine, or the one that was asked for.
pub(crate) struct Chosen {
    /// Its manifest, as it came.
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    /// Of the manifest.
    pub(crate) digest: Digest,
    /// Its configuration, if it had to be looked at already.
    pub(crate) configuration: Option<(Vec<u8>, Configuration)>,
}

/// What a reference leads to, read.
pub(crate) fn understood(source: DocumentSource<'_>, top: Fetched) -> Result<(Fetched, Document), PullError> {
    let document = read(&top).map_err(|problem| unusable(&source.name(), &problem))?;
    Ok((top, document))
}

/// Finds the best image that `top` leads to. An entry that turns out to be no image, or one for another machine, gives
/// way to the next best; one that can't be fetched now does not: which image comes must not depend on the network.
pub(crate) async fn choose(
    source: DocumentSource<'_>,
    platform: &Platform,
    (top, document): (Fetched, Document),
) -> Result<Chosen, PullError> {
    match document {
        Document::Manifest(manifest) => {
            Ok(Chosen { bytes: top.bytes, manifest, digest: top.digest, configuration: None })
        }
        Document::Index(index) => {
            drop(top);
            choose_of(source, platform, index).await
        }
        Document::Artifact(artifact) => Err(unusable(&source.name(), &no_image(&artifact))),
    }
}

fn no_image(artifact: &ArtifactManifest) -> String {
    collapsed(&format!("it is an artifact ({}), not an image", artifact.kind), ERROR_TEXT)
}

/// The same of entries of which each may lead to it.
pub(crate) async fn choose_of(
    source: DocumentSource<'_>,
    platform: &Platform,
    index: Vec<IndexEntry>,
) -> Result<Chosen, PullError> {
    let mut search = Search { source, platform, pending: Vec::new(), offered: Vec::new(), problem: None };
    search.add(index, 1);
    let mut left = INDEX_DOCUMENTS;
    while let Some((entry, depth)) = search.pending.pop() {
        left = left.checked_sub(1).ok_or_else(|| {
            let many = format!("its index leads to more than {INDEX_DOCUMENTS} others without an image");
            unusable(&source.name(), &many)
        })?;
        let fetched = match source.manifest(&entry.digest).await {
            Ok(fetched) => fetched,
            Err(error @ (PullError::NotFound { .. } | PullError::Digest { .. })) => {
                search.problem.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        match read(&fetched) {
            Ok(Document::Index(index)) if depth < INDEX_DEPTH => search.add(index, depth + 1),
            Ok(Document::Index(_)) => {
                search.missed(&format!("it has more than {INDEX_DEPTH} indexes in one another"));
            }
            Ok(Document::Manifest(manifest)) => {
                let chosen = Chosen { bytes: fetched.bytes, manifest, digest: fetched.digest, configuration: None };
                if let Some(chosen) = search.look(&entry, chosen).await? {
                    return Ok(chosen);
                }
            }
            Ok(Document::Artifact(artifact)) => search.missed(&no_image(&artifact)),
            Err(problem) => search.missed(&problem),
        }
    }
    Err(search.nothing())
}

/// What a configuration says about the machine that its image is for, where no index was there to choose by.
///
/// No kernel runs another system's programs. Another architecture's may run, by an emulator that the node has in
/// binfmt_misc, and a builder may have named the wrong one: containerd takes such an image, and so does this.
pub(crate) fn check_machine(image: &str, platform: &Platform, target: &ImagePlatform) -> Result<(), PullError> {
    if !target.is_linux() {
        return Err(PullError::NoPlatform {
            reference: image.to_owned(),
            wanted: platform.to_string(),
            offered: collapsed(&target.to_string(), ERROR_TEXT),
        });
    }
    if platform.rank(target).is_none() {
        let target = collapsed(&target.to_string(), ERROR_TEXT);
        tracing::warn!(image, target, "the image is for another machine than this; it is taken all the same");
    }
    Ok(())
}

fn read(fetched: &Fetched) -> Result<Document, String> {
    document(&fetched.bytes, fetched.media_type.as_deref())
}

struct Search<'p> {
    source: DocumentSource<'p>,
    platform: &'p Platform,
    /// What may be looked at, with its depth; the best last.
    pending: Vec<(IndexEntry, usize)>,
    offered: Vec<String>,
    /// The first thing that was wrong on the way.
    problem: Option<PullError>,
}

impl Search<'_> {
    /// The entries of an index come before what was to be looked at until now.
    fn add(&mut self, index: Vec<IndexEntry>, depth: usize) {
        let mut fitting = Vec::new();
        for entry in index {
            let target = entry.target.clone().unwrap_or_default();
            // An index for all machines lies behind what says that it is for this one.
            match self.platform.rank(&target) {
                Some(rank) => fitting.push((rank, entry)),
                None => self.offer(&target),
            }
        }
        fitting.sort_by_key(|(rank, _)| *rank);
        self.pending.extend(fitting.into_iter().rev().map(|(_, entry)| (entry, depth)));
    }

    fn offer(&mut self, target: &ImagePlatform) {
        let (shown, unknown) = (collapsed(&target.to_string(), ERROR_TEXT), target.os == "unknown");
        if self.offered.len() < OFFERED_PLATFORMS && !unknown && !self.offered.contains(&shown) {
            self.offered.push(shown);
        }
    }

    fn missed(&mut self, problem: &str) {
        let name = self.source.name();
        self.problem.get_or_insert_with(|| unusable(&name, problem));
    }

    /// Whether a manifest is what was looked for. Where its index does not say for which machine it is, its
    /// configuration does.
    async fn look(&mut self, entry: &IndexEntry, found: Chosen) -> Result<Option<Chosen>, PullError> {
        if entry.target.as_ref().is_some_and(|target| !target.os.is_empty() && !target.architecture.is_empty()) {
            return Ok(Some(found));
        }
        let text = match self.source.config(&found.manifest.config.digest).await {
            Ok(text) => text,
            Err(error @ (PullError::NotFound { .. } | PullError::Digest { .. })) => {
                self.problem.get_or_insert(error);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match configuration(&text) {
            Ok(read) if self.platform.rank(&read.target).is_some() => {
                Ok(Some(Chosen { configuration: Some((text, read)), ..found }))
            }
            Ok(read) => {
                self.offer(&read.target);
                Ok(None)
            }
            Err(problem) => {
                self.missed(&problem);
                Ok(None)
            }
        }
    }

    fn nothing(self) -> PullError {
        self.problem.unwrap_or_else(|| PullError::NoPlatform {
            reference: self.source.name(),
            wanted: self.platform.to_string(),
            offered: if self.offered.is_empty() { "none".to_owned() } else { self.offered.join(", ") },
        })
    }
}
