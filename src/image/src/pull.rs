//! One pull, from a reference to a visible image.

use crate::bounds::ERROR_TEXT;
use crate::choose::{Chosen, choose, unusable};
use crate::config::UnpackLimits;
use crate::configuration::{Configuration, configuration};
use crate::digest::Digest;
use crate::documents::Documents;
use crate::error::PullError;
use crate::hosts::hosts;
use crate::layers::{Hold, Layer};
use crate::manifest::Blob;
use crate::model::{Credentials, Image, ImageId};
use crate::platform::{ImagePlatform, Platform};
use crate::records::{ImageRow, NameRow, chains, present};
use crate::reference::{Reference, Selector};
use crate::registry::Session;
use crate::stages;
use crate::store::Store;
use crate::unpack::{ImageCost, LimitError};
use peapod_sys::fail_point;
use peapod_text::collapsed;
use peapod_trace::{Span, WorkSpan};
use std::collections::HashMap;
use std::sync::Arc;

/// How often another pull's failure on a shared layer is answered by trying on one's own.
const OWN_TRIES: usize = 3;

/// Pulls `reference`. Whoever drops this future takes the transfers back; what is already on disk of a blob stays.
pub(crate) async fn pull(
    store: Arc<Store>,
    reference: Reference,
    credentials: Option<Credentials>,
    span: Span,
) -> Result<Arc<Image>, PullError> {
    let config = store.pull_config.load_full();
    let (for_hosts, registry) = (Arc::clone(&config), reference.registry.clone());
    let found = tokio::task::spawn_blocking(move || hosts(&for_hosts, &registry)).await;
    let hosts = found.map_err(|_| PullError::Cancelled { reference: reference.to_string() })??;
    let clients = Arc::clone(&store.clients);
    let session = Arc::new(Session::new(&config, clients, hosts, reference, credentials, span));
    Pull { store, session }.run().await
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

struct Pull {
    store: Arc<Store>,
    session: Arc<Session>,
}

impl Pull {
    async fn run(&self) -> Result<Arc<Image>, PullError> {
        // What is here is not transferred again, but asking the registry stands for the right to use it.
        if self.store.records.catalog().by_name(&self.reference().to_string()).is_some()
            && let Some(digest) = self.session.head().await
            && let Some(image) = self.known(&digest)
            && let Some(image) = self.name(&image.id, &digest).await?
        {
            return Ok(image);
        }
        let top = self.session.manifest(&self.reference().selector).await?;
        if let Some(image) = self.known(&top.digest)
            && let Some(image) = self.name(&image.id, &top.digest).await?
        {
            return Ok(image);
        }
        let top_digest = top.digest.clone();
        let Chosen { bytes, manifest, configuration: read } = choose(&self.session, top).await?;
        fail_point("pull-manifest");
        let (config, Configuration { diff_ids, run, target }) = match read {
            Some(read) => read,
            None => {
                let config = self.session.config(&manifest.config.digest).await?;
                let read = configuration(&config).map_err(|problem| unusable(&self.session, &problem))?;
                (config, read)
            }
        };
        self.check_machine(&target)?;
        // Whoever has the configuration's bytes may use the image that they make.
        let id = ImageId(manifest.config.digest.clone());
        if self.store.records.catalog().by_id(&id).is_some()
            && let Some(image) = self.name(&id, &top_digest).await?
        {
            return Ok(image);
        }
        let blobs = manifest.layers(diff_ids.len()).map_err(|problem| unusable(&self.session, &problem))?;
        let (allowance, span) = (&self.session.allowance, &self.session.span);
        span.enter(&stages::DOCUMENTS);
        let documents = Documents::new(bytes, config, self.store.fetcher.ingest(), allowance).await?;
        let (layers, _hold) = self.layers(&blobs, &diff_ids).await?;
        fail_point("pull-layers");
        span.enter(&stages::DOCUMENTS);
        let (bytes, config) = documents.read(allowance).await?;
        let image = ImageRow { id, diff_ids, run, annotations: manifest.annotations, manifest: bytes, config };
        self.store.commit(image, layers, self.names(&top_digest), span).await
    }

    /// What a configuration says about the machine that its image is for, where no index was there to choose by.
    ///
    /// No kernel runs another system's programs. Another architecture's may run, by an emulator that the node has in
    /// binfmt_misc, and a builder may have named the wrong one: containerd pulls such an image, and so does this.
    fn check_machine(&self, target: &ImagePlatform) -> Result<(), PullError> {
        let host = Platform::host();
        if !target.is_linux() {
            return Err(PullError::NoPlatform {
                reference: self.reference().to_string(),
                wanted: host.to_string(),
                offered: collapsed(&target.to_string(), ERROR_TEXT),
            });
        }
        if host.rank(target).is_none() {
            let (image, target) = (self.reference(), collapsed(&target.to_string(), ERROR_TEXT));
            tracing::warn!(%image, target, "the image is for another machine than this; it is pulled all the same");
        }
        Ok(())
    }

    fn reference(&self) -> &Reference {
        &self.session.reference
    }

    /// The image that this repository's manifest is known to lead to.
    fn known(&self, digest: &Digest) -> Option<Arc<Image>> {
        self.store.records.catalog().by_name(&self.reference().with_digest(digest))
    }

    /// Gives an image that is here its names; none if it is not here any more, or a layer of it turns out to be
    /// damaged.
    async fn name(&self, id: &ImageId, digest: &Digest) -> Result<Option<Arc<Image>>, PullError> {
        self.session.span.enter(&stages::VERIFY);
        self.store.verifier.verify_image(id).await?;
        self.session.span.enter(&stages::RECORD);
        Ok(self.store.name(id.clone(), self.names(digest)).await?)
    }

    /// The names under which the image is known after this pull.
    fn names(&self, digest: &Digest) -> Vec<NameRow> {
        let reference = self.reference();
        let mut names = vec![NameRow { reference: reference.with_digest(digest), is_digest: true }];
        if matches!(reference.selector, Selector::Tag(_)) {
            names.push(NameRow { reference: reference.to_string(), is_digest: false });
        }
        names
    }

    /// All layers that are not recorded yet, unpacked. What is recorded stays for as long as the hold lives.
    async fn layers(&self, blobs: &[Blob], diff_ids: &[Digest]) -> Result<(Vec<Arc<Layer>>, Hold), PullError> {
        let chains = chains(diff_ids);
        let hold = self.store.holds.hold(&chains);
        let span = &self.session.span;
        span.enter(&stages::VERIFY);
        self.store.verifier.verify_chains(&chains).await?;
        span.enter(&stages::PRESENT);
        // Asked on the writing side: a sweep is either over, and its layers are missing here, or sees the hold.
        let wanted = chains.clone();
        let present: HashMap<Digest, String> = self.store.records.write(move |tx| present(tx, &wanted)).await?;
        let limits = self.store.config.limits;
        let is_missing = |index: usize| chains.get(index).is_some_and(|chain| !present.contains_key(chain));
        let sizes = blobs.iter().enumerate().filter(|(index, _)| is_missing(*index)).map(|(_, blob)| blob);
        declared(sizes, &limits).map_err(|problem| unusable(&self.session, &problem))?;
        let cost = ImageCost::new(limits);
        let missing = blobs.iter().zip(diff_ids).enumerate().filter_map(|(index, (blob, diff_id))| {
            let chain = chains.get(index).filter(|chain| !present.contains_key(*chain))?;
            let parent = index.checked_sub(1).and_then(|below| chains.get(below)).cloned();
            Some(self.layer(chain.clone(), parent, diff_id.clone(), blob.clone(), Arc::clone(&cost)))
        });
        span.leave();
        match futures_util::future::try_join_all(missing).await {
            Ok(layers) => Ok((layers, hold)),
            Err(error) => {
                if error.condemns() {
                    self.store.fetcher.discard(self.reference(), blobs);
                }
                Err(error)
            }
        }
    }

    async fn layer(
        &self,
        chain: Digest,
        parent: Option<Digest>,
        diff_id: Digest,
        blob: Blob,
        cost: Arc<ImageCost>,
    ) -> Result<Arc<Layer>, PullError> {
        let stage = self.session.span.begin_on(&stages::LAYER, &blob.digest);
        let mut tries = 0;
        loop {
            let (store, session) = (Arc::clone(&self.store), Arc::clone(&self.session));
            let (own_chain, parent, diff_id, blob) = (chain.clone(), parent.clone(), diff_id.clone(), blob.clone());
            let cost = Arc::clone(&cost);
            let begin = || {
                let work = stage.work("layer");
                let own = work.as_ref().map(|work| work.span().clone()).unwrap_or_default();
                own.enter(&stages::PART);
                let told = own.clone();
                let fetching = async move {
                    let fresh = store.fetcher.fetch(&session, &blob, &diff_id, &cost, &own).await;
                    let fresh = settled(work, fresh)?;
                    Ok(Arc::new(Layer::new(own_chain, parent, diff_id, fresh)))
                };
                (told, fetching)
            };
            let tell = |work: &Span| stage.enter_work(&stages::FETCH, work);
            let outcome = self.store.layers.join(&self.reference().registry, &chain, begin, tell).await;
            tries += 1;
            match outcome.result {
                Some(Ok(layer)) => return Ok(layer),
                // Somebody else's registry or credentials failed; ours may do.
                _ if !outcome.own && tries < OWN_TRIES => {}
                Some(Err(error)) => return Err(error),
                None => return Err(PullError::Cancelled { reference: self.reference().to_string() }),
            }
        }
    }
}
