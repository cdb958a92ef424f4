//! One pull, from a reference to a visible image.

use crate::artifact::{ArtifactFile, ArtifactManifest};
use crate::bring::Bringing;
use crate::choose::{Chosen, DocumentSource, check_machine, choose, understood};
use crate::commit::{Commit, NewImage};
use crate::configuration::{Configuration, configuration};
use crate::digest::Digest;
use crate::documents::Documents;
use crate::error::{PullError, unusable};
use crate::fetch::WantedLayer;
use crate::hosts::hosts;
use crate::layers::{Hold, Layer};
use crate::manifest::{Blob, Document};
use crate::model::{Credentials, Image, ImageConfig, ImageId};
use crate::platform::Platform;
use crate::records::{ImageRow, NameClaim, NameRow};
use crate::reference::{Reference, Selector};
use crate::registry::{Fetched, Session};
use crate::stages;
use crate::store::Store;
use crate::unpack::ImageCost;
use peapod_sys::fail_point;
use peapod_trace::Span;
use std::path::PathBuf;
use std::sync::Arc;

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
        let platform = Platform::host();
        let source = DocumentSource::Registry(&self.session);
        let (top, document) = understood(source, top)?;
        if let Document::Artifact(artifact) = document {
            return self.artifact(top, artifact).await;
        }
        let chosen = choose(source, &platform, (top, document)).await?;
        let Chosen { bytes, manifest, configuration: read, .. } = chosen;
        fail_point("pull-manifest");
        let (config, Configuration { diff_ids, run, target }) = match read {
            Some(read) => read,
            None => {
                let config = self.session.config(&manifest.config.digest).await?;
                let read = configuration(&config).map_err(|problem| self.unusable(&problem))?;
                (config, read)
            }
        };
        check_machine(&self.reference().to_string(), &platform, &target)?;
        // Whoever has the configuration's bytes may use the image that they make.
        let id = ImageId(manifest.config.digest.clone());
        if self.store.records.catalog().by_id(&id).is_some()
            && let Some(image) = self.name(&id, &top_digest).await?
        {
            return Ok(image);
        }
        let blobs = manifest.layers(diff_ids.len()).map_err(|problem| self.unusable(&problem))?;
        let (allowance, span) = (&self.session.allowance, &self.session.span);
        span.enter(&stages::DOCUMENTS);
        let documents = Documents::new(bytes, config, self.store.fetcher.ingest(), allowance).await?;
        let (layers, _hold) = self.layers(&blobs, &diff_ids, &[]).await?;
        fail_point("pull-layers");
        span.enter(&stages::DOCUMENTS);
        let (bytes, config) = documents.read(allowance).await?;
        let image = ImageRow { id, diff_ids, run, annotations: manifest.annotations, manifest: bytes, config };
        self.record(NewImage { row: image, layers, names: self.names(&top_digest) }).await
    }

    /// The same for what is no image. It is recorded as if each of its files were a layer: so it is swept, verified and
    /// mounted as images are.
    async fn artifact(&self, top: Fetched, artifact: ArtifactManifest) -> Result<Arc<Image>, PullError> {
        fail_point("pull-manifest");
        let id = ImageId(top.digest.clone());
        if self.store.records.catalog().by_id(&id).is_some()
            && let Some(image) = self.name(&id, &top.digest).await?
        {
            return Ok(image);
        }
        let ArtifactManifest { kind, annotations, files } = artifact;
        let diff_ids: Vec<_> = files.iter().map(|file| ArtifactFile::id(&file.name, &file.blob.digest)).collect();
        let (names, blobs): (Vec<_>, Vec<_>) = files.into_iter().map(|file| (file.name, file.blob)).unzip();
        let (allowance, span) = (&self.session.allowance, &self.session.span);
        span.enter(&stages::DOCUMENTS);
        // Its configuration is of a kind that nobody here knows.
        let documents = Documents::new(top.bytes, b"{}".to_vec(), self.store.fetcher.ingest(), allowance).await?;
        let (layers, _hold) = self.layers(&blobs, &diff_ids, &names).await?;
        fail_point("pull-layers");
        span.enter(&stages::DOCUMENTS);
        let (manifest, config) = documents.read(allowance).await?;
        let run = ImageConfig { artifact_type: kind, ..ImageConfig::default() };
        let image = ImageRow { id, diff_ids, run, annotations, manifest, config };
        self.record(NewImage { row: image, layers, names: self.names(&top.digest) }).await
    }

    async fn record(&self, image: NewImage) -> Result<Arc<Image>, PullError> {
        let commit = Commit { images: vec![image], archive: None };
        let committed = self.store.commit(commit, &self.session.span).await?;
        committed.into_iter().next().ok_or_else(|| PullError::Cancelled { reference: self.reference().to_string() })
    }

    fn unusable(&self, problem: &str) -> PullError {
        unusable(&self.reference().to_string(), problem)
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
        let row = |reference: String, is_digest| NameRow { reference, is_digest, pin: false, claim: NameClaim::Move };
        let mut names = vec![row(reference.with_digest(digest), true)];
        if matches!(reference.selector, Selector::Tag(_)) {
            names.push(row(reference.to_string(), false));
        }
        names
    }

    /// All layers that are not recorded yet, unpacked. What is recorded stays for as long as the hold lives.
    async fn layers(
        &self,
        blobs: &[Blob],
        diff_ids: &[Digest],
        files: &[PathBuf],
    ) -> Result<(Vec<Arc<Layer>>, Hold), PullError> {
        let reference = self.reference();
        let image = reference.to_string();
        let bringing =
            Bringing { store: &self.store, from: &reference.registry, image: &image, files, span: &self.session.span };
        let cost = ImageCost::new(self.store.config.limits);
        let fetch = |layer: WantedLayer, span: Span| {
            let (store, session) = (Arc::clone(&self.store), Arc::clone(&self.session));
            async move { store.fetcher.fetch(&session, &layer, &span).await }
        };
        let brought = bringing.layers(blobs, diff_ids, &cost, fetch).await;
        if brought.as_ref().is_err_and(PullError::condemns) {
            self.store.fetcher.discard(&self.session, blobs);
        }
        brought
    }
}
