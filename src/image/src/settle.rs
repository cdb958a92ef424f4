//! Looking at layers: at those in doubt in the background and before anybody uses one, at others when their image is
//! pulled again.

use crate::bounds::LOOKED_AT;
use crate::digest::Digest;
use crate::error::SettleError;
use crate::model::ImageId;
use crate::records;
use crate::records::doubt::{self, Doubt, Which};
use crate::store::Store;
use crate::unpack::fingerprint;
use peapod_store::rusqlite::{self, Connection};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How many layers are looked at at once: one in the background, the others because somebody waits.
pub(crate) const LOOKS: usize = 2;

impl Store {
    /// A daemon begins: were layers in doubt, they are looked at in the background.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<(), peapod_store::StoreError> {
        let boot_id = self.config.boot_id.clone();
        if boot_id.is_empty() {
            return Ok(());
        }
        let (doubts, _) = self.change(move |tx| doubt::begin(tx, &boot_id)).await?;
        if doubts == 0 {
            return Ok(());
        }
        tracing::info!(
            layers = doubts,
            "the node went down while peapod ran: layers are looked at before they are used"
        );
        self.doubts.store(true, Ordering::SeqCst);
        let store = Arc::clone(self);
        tokio::spawn(async move {
            match store.settle(|connection| doubt::all(connection, Which::InDoubt)).await {
                Ok(()) => {
                    store.doubts.store(false, Ordering::SeqCst);
                    tracing::info!("all layers were looked at");
                }
                Err(error) => {
                    tracing::warn!(%error, "not all layers could be looked at; it is tried again when they are used");
                }
            }
        });
        Ok(())
    }

    /// Returns when none of the image's layers is in doubt.
    pub(crate) async fn settle_image(self: &Arc<Self>, id: &ImageId) -> Result<(), SettleError> {
        let id = id.clone();
        self.settle(move |connection| doubt::of_image(connection, Which::InDoubt, &id)).await
    }

    /// The same, and looks at those that are taken for whole too: somebody pulls the image again, perhaps because of them.
    pub(crate) async fn look_at_image(self: &Arc<Self>, id: &ImageId) -> Result<(), SettleError> {
        self.settle_image(id).await?;
        let id = id.clone();
        self.look_at(self.db.read(move |connection| doubt::of_image(connection, Which::Whole, &id)).await?).await
    }

    /// The same for chains.
    pub(crate) async fn look_at_chains(self: &Arc<Self>, chains: &[Digest]) -> Result<(), SettleError> {
        let own = chains.to_vec();
        self.settle(move |connection| doubt::of_chains(connection, Which::InDoubt, &own)).await?;
        let own = chains.to_vec();
        self.look_at(self.db.read(move |connection| doubt::of_chains(connection, Which::Whole, &own)).await?).await
    }

    async fn settle<F>(self: &Arc<Self>, which: F) -> Result<(), SettleError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<Vec<Doubt>> + Send + 'static,
    {
        if !self.doubts.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.look_at(self.db.read(which).await?).await
    }

    async fn look_at(self: &Arc<Self>, layers: Vec<Doubt>) -> Result<(), SettleError> {
        let mut first = Ok(());
        for doubt in layers {
            let (store, own) = (Arc::clone(self), doubt.clone());
            let outcome = self.settling.join(doubt.chain.clone(), async move { store.look(own).await }).await;
            let outcome = outcome.result.unwrap_or_else(|| {
                Err(SettleError::Look { layer: doubt.chain, source: Arc::new(io::Error::other("the daemon ends")) })
            });
            first = first.and(outcome);
        }
        first
    }

    /// Whether nobody needs to look at it entry by entry: somebody just did.
    fn was_looked_at(&self, doubt: &Doubt) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.retain(|_, at| at.elapsed() < LOOKED_AT);
        doubt.which == Which::Whole && looked.contains_key(&doubt.short)
    }

    /// Looks at one layer, and drops it if it is not what it was.
    async fn look(self: Arc<Self>, doubt: Doubt) -> Result<(), SettleError> {
        let dir = self.layers_dir().join(&doubt.short);
        let wanted = if self.was_looked_at(&doubt) { None } else { doubt.fingerprint.clone() };
        let diff = dir.join("diff");
        // Closed never: the semaphore lives as long as this.
        let _permit = self.looks.acquire().await;
        let looked = tokio::task::spawn_blocking(move || is_whole(&diff, wanted.as_deref())).await;
        let failed = |source| SettleError::Look { layer: doubt.chain.clone(), source: Arc::new(source) };
        let whole = looked.map_err(io::Error::other).and_then(|looked| looked).map_err(failed)?;
        if whole {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            looked.entry(doubt.short.clone()).or_insert_with(Instant::now);
        }
        if whole && doubt.which == Which::Whole {
            return Ok(());
        }
        if !whole {
            tracing::error!(layer = %doubt.chain, dir = %dir.display(),
                "a layer is damaged and is dropped: images that have it are pulled again when they are next asked for");
        }
        let boot_id = self.config.boot_id.clone();
        let (used, _) = self
            .change(move |tx| {
                doubt::settle(tx, &doubt, whole, now())?;
                // What runs on a damaged layer goes on with what is left of it.
                let used = !whole && doubt.which == Which::Whole && doubt::is_used(tx, &doubt.chain)?;
                if used {
                    doubt::retire(tx, &doubt.short, &boot_id)?;
                }
                Ok(used)
            })
            .await?;
        if !whole && !used {
            self.remove_all(vec![dir]).await;
        }
        Ok(())
    }

    /// The directories of these layers are gone.
    pub(crate) async fn lose(&self, shorts: Vec<String>) -> Result<(), peapod_store::StoreError> {
        tracing::error!(
            layers = shorts.join(", "),
            "layers are gone from the disk: images that have them are pulled again when they are next asked for"
        );
        let left: Vec<_> =
            shorts.iter().map(|short| self.layers_dir().join(short)).filter(|dir| dir.exists()).collect();
        self.change(move |tx| records::lose(tx, &shorts, now())).await?;
        // Without its tree nobody has any use of what else is there.
        self.remove_all(left).await;
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
