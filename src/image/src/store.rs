//! What all pulls, leases and removals share, and the changes that they make visible.

use crate::config::Config;
use crate::error::{OpenError, PullError};
use crate::fetch::Fetcher;
use crate::layers::{Holds, LayerFlights};
use crate::layers_dir::LayersDir;
use crate::measures::ImageMeasures;
use crate::model::{Credentials, Image, ImageId};
use crate::records::{self, ImageRecords, NameRow};
use crate::reference::Reference;
use crate::registry::Clients;
use crate::scratch::Ingest;
use crate::single_flight::SingleFlight;
use crate::sweep::Sweeper;
use crate::verify::Verifier;
use arc_swap::ArcSwap;
use peapod_store::{Database, StoreError};
use peapod_sys::Trash;
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
        let dir = Arc::new(LayersDir::new(config.layers_dir(), trash.clone()));
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
}
