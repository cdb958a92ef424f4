//! Looking at layers that are in doubt: in the background, and before anybody uses one.

use crate::digest::Digest;
use crate::error::SettleError;
use crate::model::ImageId;
use crate::records::doubt::{self, Doubt};
use crate::store::{Store, remove_all};
use crate::unpack::print;
use peapod_store::rusqlite::{self, Connection};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

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
            match store.settle(doubt::all).await {
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
        self.settle(move |connection| doubt::of_image(connection, &id)).await
    }

    /// The same for chains.
    pub(crate) async fn settle_chains(self: &Arc<Self>, chains: &[Digest]) -> Result<(), SettleError> {
        let chains = chains.to_vec();
        self.settle(move |connection| doubt::of_chains(connection, &chains)).await
    }

    async fn settle<F>(self: &Arc<Self>, which: F) -> Result<(), SettleError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<Vec<Doubt>> + Send + 'static,
    {
        if !self.doubts.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut first = Ok(());
        for doubt in self.db.read(which).await? {
            let (store, own) = (Arc::clone(self), doubt.clone());
            let landed = self.settling.join(doubt.chain.clone(), async move { store.look(own).await }).await;
            let outcome = landed.result.unwrap_or_else(|| {
                Err(SettleError::Look { layer: doubt.chain, source: Arc::new(io::Error::other("the daemon ends")) })
            });
            first = first.and(outcome);
        }
        first
    }

    /// Looks at one layer, and drops it if it is not what it was.
    async fn look(self: Arc<Self>, doubt: Doubt) -> Result<(), SettleError> {
        let dir = self.layers_dir().join(&doubt.short);
        let (diff, wanted) = (dir.join("diff"), doubt.print.clone());
        // Closed never: the semaphore lives as long as this.
        let _permit = self.looks.acquire().await;
        let looked = tokio::task::spawn_blocking(move || is_whole(&diff, wanted.as_deref())).await;
        let failed = |source| SettleError::Look { layer: doubt.chain.clone(), source: Arc::new(source) };
        let whole = looked.map_err(io::Error::other).and_then(|looked| looked).map_err(failed)?;
        if !whole {
            tracing::error!(layer = %doubt.chain, dir = %dir.display(),
                "a layer is damaged and is dropped: images that have it are pulled again when they are next asked for");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
        self.change(move |tx| doubt::settle(tx, &doubt, whole, now)).await?;
        if !whole {
            tokio::spawn(remove_all(vec![dir]));
        }
        Ok(())
    }
}

/// Whether a layer is as it was made. An error says nothing about it.
fn is_whole(diff: &Path, wanted: Option<&str>) -> io::Result<bool> {
    let found = match wanted {
        Some(_) => print(diff).map(Some),
        // Made before there were prints: that it is there is all that can be said.
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
