//! What all pulls, leases and removals share, and the changes that they make visible.

use crate::catalog::{Catalog, CatalogCell};
use crate::config::Config;
use crate::error::{OpenError, PullError, VerifyError};
use crate::fetch::Fetcher;
use crate::layers::{Holds, Layer, Ready};
use crate::model::{Credentials, Image, ImageId};
use crate::records::{self, ImageRow, LayerRow, NameRow, chains};
use crate::reference::Reference;
use crate::registry::Clients;
use crate::single_flight::SingleFlight;
use crate::verify::VERIFIERS;
use arc_swap::ArcSwap;
use peapod_store::rusqlite::{self, Transaction};
use peapod_store::{Database, StoreError};
use peapod_sys::{Trash, fail_point};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
use tokio::sync::Semaphore;

type Pulled = Result<Arc<Image>, PullError>;
type Fetched = Result<Arc<Layer>, PullError>;

pub(crate) struct Store {
    /// As opened.
    pub(crate) config: Arc<Config>,
    /// For pulls that begin now.
    pub(crate) pull_config: ArcSwap<Config>,
    pub(crate) db: Database,
    /// Where directories go that nobody needs.
    pub(crate) trash: Trash,
    pub(crate) catalog_cell: Arc<CatalogCell>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) fetcher: Fetcher,
    pub(crate) ready: Ready,
    pub(crate) holds: Arc<Holds>,
    /// By registry and chain: the same layer of another registry is fetched beside it.
    pub(crate) layer_flights: Arc<SingleFlight<(String, crate::Digest), Fetched>>,
    pub(crate) pull_flights: Arc<SingleFlight<(Reference, Option<Credentials>), Pulled>>,
    /// Some layers may be unverified.
    pub(crate) unverified: AtomicBool,
    pub(crate) verifiers: Semaphore,
    /// When a layer, by its directory, was last found whole.
    pub(crate) verified: Mutex<HashMap<String, Instant>>,
    pub(crate) verifying: Arc<SingleFlight<crate::Digest, Result<(), VerifyError>>>,
    /// Somebody asked for a sweep since the last one began.
    sweep_wanted: AtomicBool,
    sweeping: AtomicBool,
}

impl Store {
    pub(crate) fn new(config: Config, db: Database, trash: Trash) -> Result<Self, OpenError> {
        let config = Arc::new(config);
        Ok(Self {
            clients: Arc::new(Clients::new(&config)?),
            fetcher: Fetcher::new(&config, trash.clone()),
            pull_config: ArcSwap::new(Arc::clone(&config)),
            config,
            db,
            trash,
            catalog_cell: Arc::default(),
            ready: Ready::default(),
            holds: Arc::default(),
            layer_flights: SingleFlight::new(),
            pull_flights: SingleFlight::new(),
            unverified: AtomicBool::new(false),
            verifiers: Semaphore::new(VERIFIERS),
            verified: Mutex::default(),
            verifying: SingleFlight::new(),
            sweep_wanted: AtomicBool::new(false),
            sweeping: AtomicBool::new(false),
        })
    }

    pub(crate) fn layers_dir(&self) -> PathBuf {
        self.config.state_root.join("layers")
    }

    /// Makes a change and publishes it; answers with the catalog right after it. The work goes on when the caller does not
    /// wait for it: what is committed is catalog_cell.
    pub(crate) async fn change<T, F>(&self, change: F) -> Result<(T, Arc<Catalog>), StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (db, cell) = (self.db.clone(), Arc::clone(&self.catalog_cell));
        let path = self.config.state_root.clone();
        let work = tokio::spawn(async move {
            let numbers = Arc::clone(&cell);
            let (value, number, catalog) = db
                .write(move |tx| {
                    let value = change(tx)?;
                    Ok((value, numbers.number(), records::load(tx, &numbers.get())?))
                })
                .await?;
            let catalog = Arc::new(catalog);
            cell.publish(number, &catalog);
            Ok((value, catalog))
        });
        work.await.unwrap_or(Err(StoreError::Closed { path }))
    }

    /// Loads what the records say, at start.
    pub(crate) async fn load(&self) -> Result<(), StoreError> {
        self.change(|_| Ok(())).await.map(drop)
    }

    /// Gives an image further names; `None` if it was removed meanwhile.
    pub(crate) async fn name(&self, id: ImageId, names: Vec<NameRow>) -> Result<Option<Arc<Image>>, StoreError> {
        let wanted = id.clone();
        let (_, after) = self.change(move |tx| records::name_image(tx, &id, &names)).await?;
        Ok(after.by_id(&wanted))
    }

    /// Installs the layers in `layers`, on disk for good, and then into the records together with their image.
    /// Once begun it is carried out, whoever waits: a half-done commit is what must not be.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        image: ImageRow,
        layers: Vec<Arc<Layer>>,
        names: Vec<NameRow>,
    ) -> Pulled {
        let store = Arc::clone(self);
        let reference = names.first().map(|name| name.reference.clone()).unwrap_or_default();
        let cancelled = move || PullError::Cancelled { reference };
        let work = tokio::spawn(async move { store.carry_out(image, layers, names).await });
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
    ) -> Result<Option<Arc<Image>>, PullError> {
        let (id, chains) = (image.id.clone(), chains(&image.diff_ids));
        let _hold = self.holds.hold(&chains);
        let wanted = chains.clone();
        let present = self.db.write(move |tx| records::present(tx, &wanted)).await?;
        let (root, dir) = (self.config.state_root.clone(), self.layers_dir());
        let installing = tokio::task::spawn_blocking(move || install(&root, &dir, &chains, &present, layers));
        let layers = installing.await.map_err(|_| PullError::Cancelled { reference: id.to_string() })??;
        fail_point("pull-placed");
        let rows: Vec<LayerRow> = layers.iter().map(|layer| layer.row()).collect();
        let (recorded, after) = self
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

    /// Frees layers that nobody needs, in the background. One sweep at a time; asking during one makes it run again.
    pub(crate) fn sweep_soon(self: &Arc<Self>) {
        self.sweep_wanted.store(true, Ordering::SeqCst);
        if self.sweeping.swap(true, Ordering::SeqCst) {
            return;
        }
        let store = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                while store.sweep_wanted.swap(false, Ordering::SeqCst) {
                    if let Err(error) = store.sweep().await {
                        tracing::warn!(%error, "unused layers can't be freed now");
                    }
                }
                store.sweeping.store(false, Ordering::SeqCst);
                // Asked between the last look and giving up the turn.
                if !store.sweep_wanted.load(Ordering::SeqCst) || store.sweeping.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let holds = Arc::clone(&self.holds);
        let kept = SystemTime::now().checked_sub(self.config.keep_partial);
        let before = kept.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let before = before.map_or(0, |before| before.as_secs().cast_signed());
        let sweep = move |tx: &Transaction<'_>| {
            records::unverified::forget_lost(tx, before)?;
            records::sweep(tx, |chain| holds.is_held(chain))
        };
        let (gone, _) = self.change(sweep).await?;
        if !gone.is_empty() {
            fail_point("sweep-recorded");
        }
        let paths: Vec<PathBuf> = gone.iter().map(|short| self.layers_dir().join(short)).collect();
        self.remove_all(paths).await;
        Ok(())
    }

    /// Puts directories into the trash, off the asynchronous threads.
    pub(crate) async fn remove_all(&self, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            return;
        }
        let trash = self.trash.clone();
        let work = tokio::task::spawn_blocking(move || {
            for path in paths {
                if let Err(error) = trash.put(&path) {
                    tracing::warn!(path = %path.display(), %error, "an unused layer can't be removed; it goes at the next start");
                }
            }
        });
        if work.await.is_err() {
            tracing::warn!("unused layers are left for the next start");
        }
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.catalog_cell.get()
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
