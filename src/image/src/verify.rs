//! Comparing layers with their fingerprints: unverified ones in the background and before anybody uses one, others when
//! their image is pulled again.

use crate::bounds::VERIFIED_FOR;
use crate::digest::Digest;
use crate::error::VerifyError;
use crate::layers_dir::LayersDir;
use crate::model::ImageId;
use crate::records::unverified::{self, LayersToVerify, Unverified};
use crate::records::{self, ImageRecords};
use crate::single_flight::SingleFlight;
use crate::unpack::fingerprint;
use peapod_store::StoreError;
use peapod_store::rusqlite::{self, Connection};
use peapod_sys::sync::lock;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;

/// How many layers are verified at once: one in the background, the others because somebody waits.
const VERIFIERS: usize = 2;

/// Finds out which layers are whole, and drops those that are not.
pub(crate) struct Verifier {
    records: Arc<ImageRecords>,
    dir: Arc<LayersDir>,
    /// This boot of the node; empty if it is not known.
    boot_id: String,
    /// Some layers may be unverified.
    pending: AtomicBool,
    permits: Semaphore,
    /// When a layer, by its short name, was last found whole.
    verified: Mutex<HashMap<String, Instant>>,
    flights: Arc<SingleFlight<Digest, Result<(), VerifyError>>>,
}

impl Verifier {
    pub(crate) fn new(records: Arc<ImageRecords>, dir: Arc<LayersDir>, boot_id: String) -> Arc<Self> {
        Arc::new(Self {
            records,
            dir,
            boot_id,
            pending: AtomicBool::new(false),
            permits: Semaphore::new(VERIFIERS),
            verified: Mutex::default(),
            flights: SingleFlight::new(),
        })
    }

    /// A daemon begins: were layers unverified, they are verified in the background.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), StoreError> {
        let boot_id = self.boot_id.clone();
        if boot_id.is_empty() {
            return Ok(());
        }
        let (layers, _) = self.records.change(move |tx| unverified::begin(tx, &boot_id)).await?;
        if layers == 0 {
            return Ok(());
        }
        tracing::info!(layers, "the node went down while peapod ran: layers are verified before they are used");
        self.pending.store(true, Ordering::SeqCst);
        let verifier = Arc::clone(self);
        tokio::spawn(async move {
            match verifier.pending(|connection| unverified::all(connection, LayersToVerify::Unverified)).await {
                Ok(()) => {
                    verifier.pending.store(false, Ordering::SeqCst);
                    tracing::info!("all layers were verified");
                }
                Err(error) => {
                    tracing::warn!(%error, "not all layers could be verified; it is tried again when they are used");
                }
            }
        });
        Ok(())
    }

    /// Returns when none of the image's layers is unverified.
    pub(crate) async fn verify_pending(self: &Arc<Self>, id: &ImageId) -> Result<(), VerifyError> {
        let id = id.clone();
        self.pending(move |connection| unverified::of_image(connection, LayersToVerify::Unverified, &id)).await
    }

    /// The same, and verifies those that are taken for whole too: somebody pulls the image again, perhaps because of
    /// them.
    pub(crate) async fn verify_image(self: &Arc<Self>, id: &ImageId) -> Result<(), VerifyError> {
        self.verify_pending(id).await?;
        let id = id.clone();
        self.verify(
            self.records.read(move |connection| unverified::of_image(connection, LayersToVerify::Whole, &id)).await?,
        )
        .await
    }

    /// The same for chains.
    pub(crate) async fn verify_chains(self: &Arc<Self>, chains: &[Digest]) -> Result<(), VerifyError> {
        let own = chains.to_vec();
        self.pending(move |connection| unverified::of_chains(connection, LayersToVerify::Unverified, &own)).await?;
        let own = chains.to_vec();
        let whole =
            self.records.read(move |connection| unverified::of_chains(connection, LayersToVerify::Whole, &own)).await?;
        self.verify(whole).await
    }

    async fn pending<F>(self: &Arc<Self>, which: F) -> Result<(), VerifyError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<Vec<Unverified>> + Send + 'static,
    {
        if !self.pending.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.verify(self.records.read(which).await?).await
    }

    async fn verify(self: &Arc<Self>, layers: Vec<Unverified>) -> Result<(), VerifyError> {
        let mut first = Ok(());
        for layer in layers {
            let (verifier, own) = (Arc::clone(self), layer.clone());
            let done = self.flights.join(layer.chain.clone(), async move { verifier.verify_one(own).await }).await;
            let ended = || io::Error::other("the daemon ends");
            let outcome = done
                .result
                .unwrap_or_else(|| Err(VerifyError::Unreadable { layer: layer.chain, source: Arc::new(ended()) }));
            first = first.and(outcome);
        }
        first
    }

    /// Whether it need not be verified entry by entry: somebody just did.
    fn was_verified(&self, layer: &Unverified) -> bool {
        let mut verified = lock(&self.verified);
        verified.retain(|_, at| at.elapsed() < VERIFIED_FOR);
        layer.which == LayersToVerify::Whole && verified.contains_key(&layer.short)
    }

    /// Verifies one layer, and drops it if it is not what it was.
    async fn verify_one(self: Arc<Self>, layer: Unverified) -> Result<(), VerifyError> {
        let dir = self.dir.of(&layer.short);
        let wanted = if self.was_verified(&layer) { None } else { layer.fingerprint.clone() };
        let diff = dir.join("diff");
        // Closed never: the semaphore lives as long as this.
        let _permit = self.permits.acquire().await;
        let found = tokio::task::spawn_blocking(move || is_whole(&diff, wanted.as_deref())).await;
        let failed = |source| VerifyError::Unreadable { layer: layer.chain.clone(), source: Arc::new(source) };
        let whole = found.map_err(io::Error::other).and_then(|found| found).map_err(failed)?;
        if whole {
            let mut verified = lock(&self.verified);
            verified.entry(layer.short.clone()).or_insert_with(Instant::now);
        }
        if whole && layer.which == LayersToVerify::Whole {
            return Ok(());
        }
        if !whole {
            tracing::error!(layer = %layer.chain, dir = %dir.display(),
                "a layer is damaged and is dropped: images that have it are pulled again when they are next asked for");
        }
        let boot_id = self.boot_id.clone();
        let (used, _) = self
            .records
            .change(move |tx| {
                unverified::verified(tx, &layer, whole, now())?;
                // What runs on a damaged layer goes on with what is left of it.
                let used = !whole && layer.which == LayersToVerify::Whole && unverified::is_used(tx, &layer.chain)?;
                if used {
                    unverified::retire(tx, &layer.short, &boot_id)?;
                }
                Ok(used)
            })
            .await?;
        if !whole && !used {
            self.dir.remove(vec![dir]).await;
        }
        Ok(())
    }

    /// The directories of these layers are gone.
    pub(crate) async fn lose(&self, shorts: Vec<String>) -> Result<(), StoreError> {
        tracing::error!(
            layers = shorts.join(", "),
            "layers are gone from the disk: images that have them are pulled again when they are next asked for"
        );
        let left: Vec<_> = shorts.iter().map(|short| self.dir.of(short)).filter(|dir| dir.exists()).collect();
        self.records.change(move |tx| records::lose(tx, &shorts, now())).await?;
        // Without its tree nobody has any use of what else is there.
        self.dir.remove(left).await;
        Ok(())
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed())
}

/// Whether a layer is as it was made. An error says nothing about it.
fn is_whole(diff: &Path, wanted: Option<&str>) -> io::Result<bool> {
    let found = match wanted {
        Some(_) => fingerprint(diff).map(Some),
        // Made before there were fingerprints: that it is there is all that can be said.
        None => std::fs::read_dir(diff).map(|_| None),
    };
    match found {
        Ok(Some(found)) => Ok(wanted == Some(found.as_str())),
        Ok(None) => Ok(true),
        Err(error) if is_damage(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether an error tells of what is on disk, and not of this moment.
fn is_damage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let damage = [Errno::NOENT, Errno::NOTDIR, Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::LOOP, Errno::STALE];
    Errno::from_io_error(error).is_some_and(|errno| damage.contains(&errno))
}
