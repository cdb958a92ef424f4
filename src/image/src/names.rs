//! What can be done with the names of images: a pin belongs to a name, and one of several can be taken away.

use crate::error::PinError;
use crate::model::Image;
use crate::records;
use crate::reference::{Reference, Selector};
use crate::store::Store;
use peapod_store::rusqlite::Transaction;
use std::sync::Arc;

/// The names of all images of this node.
#[derive(Clone, Copy)]
pub struct ImageNaming<'a> {
    store: &'a Store,
}

impl std::fmt::Debug for ImageNaming<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImageNaming").finish_non_exhaustive()
    }
}

impl<'a> ImageNaming<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Has garbage collection leave an image alone: by the name `reference`, whatever image that leads to, or if it is
    /// an id by all names that its image has. Answers with the image.
    ///
    /// # Errors
    /// [`PinError`]: there is no such image, or it has no name.
    pub async fn pin(self, reference: &str) -> Result<Arc<Image>, PinError> {
        let image = self.resolve(reference).ok_or_else(|| PinError::NotFound { image: reference.to_owned() })?;
        let named = self.parsed(reference).map(|name| name.to_string());
        let named = named.filter(|name| image.repo_tags.contains(name) || image.repo_digests.contains(name));
        let id = image.id.clone();
        let (is_pinned, after) =
            self.store.records.change(move |tx| records::pins::pin(tx, &id, named.as_deref())).await?;
        let unnamed = || PinError::Unnamed { image: image.id.to_string() };
        after.by_id(&image.id).filter(|_| is_pinned).ok_or_else(unnamed)
    }

    /// Gives an image back to garbage collection, whatever name held it. Answers with the image.
    ///
    /// # Errors
    /// [`PinError`]: there is no such image.
    pub async fn unpin(self, reference: &str) -> Result<Arc<Image>, PinError> {
        let missing = || PinError::NotFound { image: reference.to_owned() };
        let id = self.resolve(reference).ok_or_else(missing)?.id.clone();
        let own = id.clone();
        let ((), after) = self.store.records.change(move |tx| records::pins::unpin(tx, &own)).await?;
        after.by_id(&id).ok_or_else(missing)
    }

    /// Takes a tag from an image that has others, and with a repository's last tag its digests of that repository.
    /// Answers with the tag in full; nothing if that did nothing, because `reference` is no tag of an image that is
    /// here, or the only one.
    ///
    /// # Errors
    /// [`PinError`]: the records can't be written.
    pub async fn untag(self, reference: &str) -> Result<Option<String>, PinError> {
        let Some(image) = self.resolve(reference) else { return Ok(None) };
        let Some(tag) = self.parsed(reference).filter(|name| matches!(name.selector, Selector::Tag(_))) else {
            return Ok(None);
        };
        let (tag, repository, id) = (tag.to_string(), tag.name(), image.id.clone());
        let name = tag.clone();
        let untag = move |tx: &Transaction<'_>| records::names::untag(tx, &id, (&name, &repository));
        let (is_untagged, _) = self.store.records.change(untag).await?;
        Ok(is_untagged.then_some(tag))
    }

    fn resolve(self, reference: &str) -> Option<Arc<Image>> {
        self.store.records.catalog().resolve(reference, &self.store.config.default_registry)
    }

    fn parsed(self, reference: &str) -> Option<Reference> {
        Reference::parse(reference, &self.store.config.default_registry).ok()
    }
}
