//! The layers that an image lacks, from wherever they come.

use crate::config::UnpackLimits;
use crate::digest::Digest;
use crate::error::{PullError, unusable};
use crate::fetch::{BlobContent, Fresh, WantedLayer};
use crate::layers::{Hold, Layer};
use crate::manifest::Blob;
use crate::records::{chains, present};
use crate::stages;
use crate::store::Store;
use crate::unpack::{ImageCost, LimitError};
use peapod_trace::{Span, WorkSpan};
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

/// How often another's failure on a shared layer is answered by trying on one's own.
const OWN_TRIES: usize = 3;

/// For whom layers are brought.
#[derive(Clone, Copy)]
pub(crate) struct Bringing<'a> {
    pub(crate) store: &'a Arc<Store>,
    /// The registry, or what stands in its place: who wants the same layer from it waits for one fetch.
    pub(crate) from: &'a str,
    /// For errors.
    pub(crate) image: &'a str,
    /// The names of an artifact's files, one for each blob; an image has none, but archives.
    pub(crate) files: &'a [PathBuf],
    pub(crate) span: &'a Span,
}

/// Where a layer is to lie.
#[derive(Clone)]
struct LayerPlace {
    chain: Digest,
    parent: Option<Digest>,
}

impl Bringing<'_> {
    /// All layers that are not recorded yet, unpacked by `fetch`. What is recorded stays for as long as the hold lives.
    pub(crate) async fn layers<F, W>(
        self,
        blobs: &[Blob],
        diff_ids: &[Digest],
        cost: &Arc<ImageCost>,
        fetch: F,
    ) -> Result<(Vec<Arc<Layer>>, Hold), PullError>
    where
        F: Fn(WantedLayer, Span) -> W + Sync,
        W: Future<Output = Result<Fresh, PullError>> + Send + 'static,
    {
        let chains = chains(diff_ids);
        let hold = self.store.holds.hold(&chains);
        self.span.enter(&stages::VERIFY);
        self.store.verifier.verify_chains(&chains).await?;
        self.span.enter(&stages::PRESENT);
        // Asked on the writing side: a sweep is either over, and its layers are missing here, or sees the hold.
        let wanted = chains.clone();
        let present: HashMap<Digest, String> = self.store.records.write(move |tx| present(tx, &wanted)).await?;
        let is_missing = |index: usize| chains.get(index).is_some_and(|chain| !present.contains_key(chain));
        let sizes = blobs.iter().enumerate().filter(|(index, _)| is_missing(*index)).map(|(_, blob)| blob);
        declared(sizes, &self.store.config.limits).map_err(|problem| unusable(self.image, &problem))?;
        let missing = blobs.iter().zip(diff_ids).enumerate().filter_map(|(index, (blob, diff_id))| {
            let chain = chains.get(index).filter(|chain| !present.contains_key(*chain))?.clone();
            let parent = index.checked_sub(1).and_then(|below| chains.get(below)).cloned();
            let content = self.files.get(index).cloned().map_or(BlobContent::Archive, BlobContent::File);
            let wanted = WantedLayer { blob: blob.clone(), diff_id: diff_id.clone(), content, cost: Arc::clone(cost) };
            Some(self.layer(LayerPlace { chain, parent }, wanted, &fetch))
        });
        self.span.leave();
        Ok((futures_util::future::try_join_all(missing).await?, hold))
    }

    async fn layer<F, W>(self, place: LayerPlace, wanted: WantedLayer, fetch: &F) -> Result<Arc<Layer>, PullError>
    where
        F: Fn(WantedLayer, Span) -> W,
        W: Future<Output = Result<Fresh, PullError>> + Send + 'static,
    {
        let stage = self.span.begin_on(&stages::LAYER, &wanted.blob.digest);
        let mut tries = 0;
        loop {
            let (LayerPlace { chain, parent }, diff_id) = (place.clone(), wanted.diff_id.clone());
            let begin = || {
                let work = stage.work("layer");
                let own = work.as_ref().map(|work| work.span().clone()).unwrap_or_default();
                own.enter(&stages::PART);
                let fetching = fetch(wanted.clone(), own.clone());
                let layer = async move {
                    let fresh = settled(work, fetching.await)?;
                    Ok(Arc::new(Layer::new(chain, parent, diff_id, fresh)))
                };
                (own, layer)
            };
            let tell = |work: &Span| stage.enter_work(&stages::FETCH, work);
            let outcome = self.store.layers.join(self.from, &place.chain, begin, tell).await;
            tries += 1;
            match outcome.result {
                Some(Ok(layer)) => return Ok(layer),
                // Somebody else's registry or credentials failed; ours may do.
                _ if !outcome.own && tries < OWN_TRIES => {}
                Some(Err(error)) => return Err(error),
                None => return Err(PullError::Cancelled { reference: self.image.to_owned() }),
            }
        }
    }
}

/// Notes what came of work.
pub(crate) fn settled<T>(work: Option<WorkSpan>, outcome: Result<T, PullError>) -> Result<T, PullError> {
    if let Some(work) = work {
        match &outcome {
            Ok(_) => work.settle(Ok(())),
            Err(error) => work.settle(Err(("Unknown", &error.to_string()))),
        }
    }
    outcome
}

/// Checks what a manifest says about the sizes of its layers against what they may have unpacked: compressed they are
/// no larger.
fn declared<'b>(blobs: impl Iterator<Item = &'b Blob>, limits: &UnpackLimits) -> Result<(), String> {
    let mut all: u64 = 0;
    for Blob { digest, size } in blobs {
        if *size > limits.layer_bytes {
            let excess = LimitError::LayerBytes(limits.layer_bytes);
            return Err(format!("its manifest declares {size} bytes for layer {digest}, which {excess}"));
        }
        all = all.saturating_add(*size);
    }
    if all > limits.image_bytes {
        return Err(format!("its manifest declares {all} bytes: {}", LimitError::ImageBytes(limits.image_bytes)));
    }
    Ok(())
}
