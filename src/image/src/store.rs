//! What all pulls, leases and removals share, and the changes that they make visible.

use crate::config::Config;
use crate::error::{OpenError, PullError};
use crate::fetch::Fetcher;
use crate::layers::{Holds, Layer, LayerFlights};
use crate::layers_dir::LayersDir;
use crate::measures::ImageMeasures;
use crate::model::{Credentials, Image, ImageId};
use crate::records::{self, ImageRecords, ImageRow, LayerRow, NameRow, chains};
use crate::reference::Reference;
use crate::registry::Clients;
use crate::scratch::Ingest;
use crate::single_flight::SingleFlight;
use crate::stages;
use crate::sweep::Sweeper;
use crate::verify::Verifier;
use arc_swap::ArcSwap;
use peapod_store::{Database, StoreError};
use peapod_sys::{Trash, fail_point};
use peapod_trace::Span;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Pulled = Result<Arc<Image>, PullError>;

pub(crate) struct Store {
    /// As opened.
    pub(crate) config: Arc<Config>,
    /// For pulls that begin now.
    pub(crate) pull_config: ArcSwap<Config>,
    pub(crate) records: Arc<ImageRecords>,
    pub(crate) dir: Arc<LayersDir>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) fetcher: Fetcher,
    pub(crate) pulls: Arc<SingleFlight<(Reference, Option<Credentials>), Pulled>>,
    pub(crate) layers: LayerFlights,
    pub(crate) holds: Arc<Holds>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) sweeper: Arc<Sweeper>,
    pub(crate) measures: ImageMeasures,
}

impl Store {
    pub(crate) fn new(config: Config, db: Database, trash: Trash) -> Result<Self, OpenError> {
        let config = Arc::new(config);
        let records = ImageRecords::new(db, config.state_root.clone());
        let dir = Arc::new(LayersDir::new(&config.state_root, trash.clone()));
        let holds: Arc<Holds> = Arc::default();
        let sweeper = Sweeper::new(Arc::clone(&records), Arc::clone(&dir), Arc::clone(&holds), config.partial.keep);
        let (pulls, layers) = (SingleFlight::new(), LayerFlights::new());
        let measures = ImageMeasures::new(pulls.joined().clone(), layers.joined().clone());
        Ok(Self {
            clients: Arc::new(Clients::new(&config)),
            fetcher: Fetcher::new(&config, Ingest::new(&config.state_root, trash), measures.clone()),
            pull_config: ArcSwap::new(Arc::clone(&config)),
            verifier: Verifier::new(Arc::clone(&records), Arc::clone(&dir), config.boot_id.clone()),
            sweeper,
            config,
            records,
            dir,
            holds,
            layers,
            pulls,
            measures,
        })
    }

    /// Gives an image further names; `None` if it was removed meanwhile.
    pub(crate) async fn name(&self, id: ImageId, names: Vec<NameRow>) -> Result<Option<Arc<Image>>, StoreError> {
        let wanted = id.clone();
        let (_, after) = self.records.change(move |tx| records::name_image(tx, &id, &names)).await?;
        Ok(after.by_id(&wanted))
    }

    /// Installs the layers in `layers`, on disk for good, and then into the records together with their image.
    /// Once begun it is carried out, whoever waits: a half-done commit is what must not be.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        image: ImageRow,
        layers: Vec<Arc<Layer>>,
        names: Vec<NameRow>,
        span: &Span,
    ) -> Pulled {
        let (store, span) = (Arc::clone(self), span.clone());
        span.enter(&stages::PLACE);
        let reference = names.first().map(|name| name.reference.clone()).unwrap_or_default();
        let cancelled = move || PullError::Cancelled { reference };
        let work = tokio::spawn(async move { store.carry_out(image, layers, names, &span).await });
        match work.await {
            Ok(done) => done?.ok_or_else(cancelled),
            Err(_) => Err(cancelled()),
        }
    }

    async fn carry_out(
        self: Arc<Self>,
        image: ImageRow,
        layers: Vec<Arc<Layer>>,
        names: Vec<NameRow>,
        span: &Span,
    ) -> Result<Option<Arc<Image>>, PullError> {
        let (id, chains) = (image.id.clone(), chains(&image.diff_ids));
        let _hold = self.holds.hold(&chains);
        let wanted = chains.clone();
        let present = self.records.write(move |tx| records::present(tx, &wanted)).await?;
        let (root, dir) = (self.config.state_root.clone(), Arc::clone(&self.dir));
        let installing = tokio::task::spawn_blocking(move || install(&root, dir.path(), &chains, &present, layers));
        let layers = installing.await.map_err(|_| PullError::Cancelled { reference: id.to_string() })??;
        fail_point("pull-placed");
        span.enter(&stages::RECORD);
        let rows: Vec<LayerRow> = layers.iter().map(|layer| layer.row()).collect();
        let (recorded, after) = self
            .records
            .change(move |tx| {
                records::insert_image(tx, &image, &rows)?;
                records::name_image(tx, &image.id, &names)?;
                let chains: Vec<_> = rows.iter().map(|row| row.chain_id.clone()).collect();
                records::present(tx, &chains)
            })
            .await?;
        fail_point("pull-recorded");
        for layer in &layers {
            if let Some(short) = recorded.get(&layer.chain_id) {
                layer.recorded_as(short);
            }
        }
        Ok(after.by_id(&id))
    }
}

/// Installs layers from the bottom up and makes sure that all of it is on disk. Blocks.
fn install(
    root: &Path,
    dir: &Path,
    chains: &[crate::Digest],
    present: &HashMap<crate::Digest, String>,
    layers: Vec<Arc<Layer>>,
) -> Result<Vec<Arc<Layer>>, PullError> {
    let mut below: Vec<PathBuf> = Vec::with_capacity(chains.len());
    for chain in chains {
        let path = match (present.get(chain), layers.iter().find(|layer| layer.chain_id == *chain)) {
            (Some(short), _) => dir.join(short).join("diff"),
            (None, Some(layer)) => layer.install(dir, &below)?,
            // Held and asked for on the writing side, so it is one of the two.
            (None, None) => {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(PullError::disk(dir, source));
            }
        };
        below.insert(0, path);
    }
    if !layers.is_empty() {
        let sync = || -> std::io::Result<()> {
            rustix::fs::syncfs(File::open(root)?)?;
            // A file system without a journal writes the names of the directory itself only when told to.
            File::open(dir)?.sync_all()
        };
        sync().map_err(|source| PullError::disk(root, source))?;
    }
    Ok(layers)
}
