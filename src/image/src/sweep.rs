//! Freeing layers that nobody needs.

use crate::layers::Holds;
use crate::layers_dir::LayersDir;
use crate::records::{self, ImageRecords};
use peapod_store::StoreError;
use peapod_store::rusqlite::Transaction;
use peapod_sys::fail_point;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// Sweeps in the background, one sweep at a time.
pub(crate) struct Sweeper {
    records: Arc<ImageRecords>,
    dir: Arc<LayersDir>,
    holds: Arc<Holds>,
    /// For how long an image with a lost layer waits for its next pull.
    keep_lost: Duration,
    /// Somebody asked for a sweep since the last one began.
    wanted: AtomicBool,
    running: AtomicBool,
}

impl Sweeper {
    pub(crate) fn new(
        records: Arc<ImageRecords>,
        dir: Arc<LayersDir>,
        holds: Arc<Holds>,
        keep_lost: Duration,
    ) -> Arc<Self> {
        let (wanted, running) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { records, dir, holds, keep_lost, wanted, running })
    }

    /// Frees what nobody needs, soon. Asking during a sweep makes another one follow.
    pub(crate) fn wake(self: &Arc<Self>) {
        self.wanted.store(true, Ordering::SeqCst);
        if self.running.swap(true, Ordering::SeqCst) {
            return;
        }
        let sweeper = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                while sweeper.wanted.swap(false, Ordering::SeqCst) {
                    if let Err(error) = sweeper.sweep().await {
                        tracing::warn!(%error, "unused layers can't be freed now");
                    }
                }
                sweeper.running.store(false, Ordering::SeqCst);
                // Asked after the last look at `wanted`, when `running` was still set.
                if !sweeper.wanted.load(Ordering::SeqCst) || sweeper.running.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        });
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let holds = Arc::clone(&self.holds);
        let kept = SystemTime::now().checked_sub(self.keep_lost);
        let before = kept.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let before = before.map_or(0, |before| before.as_secs().cast_signed());
        let sweep = move |tx: &Transaction<'_>| {
            records::unverified::forget_lost(tx, before)?;
            records::sweep(tx, |chain| holds.is_held(chain))
        };
        let (gone, _) = self.records.change(sweep).await?;
        if !gone.is_empty() {
            fail_point("sweep-recorded");
        }
        let dirs: Vec<PathBuf> = gone.iter().map(|short| self.dir.of(short)).collect();
        self.dir.remove(dirs).await;
        Ok(())
    }
}
