//! From a reference to the one manifest for this machine, through as many indexes as lie between.

use crate::bounds::{ERROR_TEXT, INDEX_DEPTH, INDEX_DOCUMENTS, OFFERED_PLATFORMS};
use crate::configuration::{Configuration, configuration};
use crate::error::PullError;
use crate::manifest::{Document, IndexEntry, Manifest, document};
use crate::platform::{ImagePlatform, Platform};
use crate::reference::Selector;
use crate::registry::{Fetched, Session};
use peapod_text::collapsed;

/// The image for this machine.
pub(crate) struct Chosen {
    /// Its manifest, as it came.
    pub(crate) bytes: Vec<u8>,
    pub(crate) manifest: Manifest,
    /// Its configuration, if it had to be looked at already.
    pub(crate) configuration: Option<(Vec<u8>, Configuration)>,
}

/// A manifest or an index cannot be used.
pub(crate) fn unusable(session: &Session, problem: &str) -> PullError {
    PullError::Manifest { reference: session.reference.to_string(), problem: collapsed(problem, ERROR_TEXT) }
}

/// Finds the best image that `top` leads to. An entry that turns out to be no image, or one for another machine, gives
/// way to the next best; one that can't be fetched now does not: which image comes must not depend on the network.
pub(crate) async fn choose(session: &Session, top: Fetched) -> Result<Chosen, PullError> {
    let platform = Platform::host();
    let index = match read(&top).map_err(|problem| unusable(session, &problem))? {
        Document::Manifest(manifest) => {
            return Ok(Chosen { bytes: top.bytes, manifest, configuration: None });
        }
        Document::Index(index) => index,
    };
    let mut search = Search { platform: &platform, pending: Vec::new(), offered: Vec::new(), problem: None };
    drop(top);
    search.add(index, 1);
    let mut left = INDEX_DOCUMENTS;
    while let Some((entry, depth)) = search.pending.pop() {
        left = left.checked_sub(1).ok_or_else(|| {
            unusable(session, &format!("its index leads to more than {INDEX_DOCUMENTS} others without an image"))
        })?;
        let fetched = match session.manifest(&Selector::Digest(entry.digest.clone())).await {
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
                search.missed(session, &format!("it has more than {INDEX_DEPTH} indexes in one another"));
            }
            Ok(Document::Manifest(manifest)) => {
                if let Some(chosen) = search.look(session, &entry, fetched.bytes, manifest).await? {
                    return Ok(chosen);
                }
            }
            Err(problem) => search.missed(session, &problem),
        }
    }
    Err(search.nothing(session))
}

fn read(fetched: &Fetched) -> Result<Document, String> {
    document(&fetched.bytes, fetched.media_type.as_deref())
}

struct Search<'p> {
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

    fn missed(&mut self, session: &Session, problem: &str) {
        self.problem.get_or_insert_with(|| unusable(session, problem));
    }

    /// Whether a manifest is what was looked for. Where its index does not say for which machine it is, its
    /// configuration does.
    async fn look(
        &mut self,
        session: &Session,
        entry: &IndexEntry,
        bytes: Vec<u8>,
        manifest: Manifest,
    ) -> Result<Option<Chosen>, PullError> {
        if entry.target.as_ref().is_some_and(|target| !target.os.is_empty() && !target.architecture.is_empty()) {
            return Ok(Some(Chosen { bytes, manifest, configuration: None }));
        }
        let text = match session.config(&manifest.config.digest).await {
            Ok(text) => text,
            Err(error @ (PullError::NotFound { .. } | PullError::Digest { .. })) => {
                self.problem.get_or_insert(error);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match configuration(&text) {
            Ok(read) if self.platform.rank(&read.target).is_some() => {
                Ok(Some(Chosen { bytes, manifest, configuration: Some((text, read)) }))
            }
            Ok(read) => {
                self.offer(&read.target);
                Ok(None)
            }
            Err(problem) => {
                self.missed(session, &problem);
                Ok(None)
            }
        }
    }

    fn nothing(self, session: &Session) -> PullError {
        self.problem.unwrap_or_else(|| PullError::NoPlatform {
            reference: session.reference.to_string(),
            wanted: self.platform.to_string(),
            offered: if self.offered.is_empty() { "none".to_owned() } else { self.offered.join(", ") },
        })
    }
}
