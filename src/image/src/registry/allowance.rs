//! Memory for manifests, indexes and configurations: ordinary ones are free, large ones only a few pulls may hold.

use crate::bounds::{LARGE_DOCUMENT_GRACE, LARGE_DOCUMENT_TIME, PROGRESS_RATE};
use crate::permits::Permits;
use peapod_sys::sync::lock;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How often it is looked whether a pull is overdue.
const LOOK: Duration = Duration::from_millis(250);

/// One pull's right to hold large documents. Who asks first has it first.
pub(crate) struct Allowance {
    permits: Arc<Permits>,
    held: Mutex<Option<HeldPermit>>,
}

struct HeldPermit {
    _permit: OwnedSemaphorePermit,
    since: Instant,
    /// Bytes of documents that came since then.
    bytes: u64,
}

impl HeldPermit {
    /// Who waits for others waits for seconds: those that trickle make way. Nobody takes longer than his time.
    fn is_overdue(&self, wanted: bool) -> bool {
        let time = self.since.elapsed();
        let progress = LARGE_DOCUMENT_GRACE + Duration::from_secs(self.bytes / PROGRESS_RATE);
        time > LARGE_DOCUMENT_TIME || wanted && time > progress
    }
}

impl Allowance {
    pub(super) fn new(permits: &Arc<Permits>) -> Self {
        Self { permits: Arc::clone(permits), held: Mutex::default() }
    }

    fn held<T>(&self, look: impl FnOnce(&mut Option<HeldPermit>) -> T) -> T {
        look(&mut lock(&self.held))
    }

    /// Waits for the right, if this pull does not have it yet.
    pub(crate) async fn take(&self) {
        if self.is_held() {
            return;
        }
        if let Some(permit) = self.permits.acquire().await {
            self.held(|held| *held = Some(HeldPermit { _permit: permit, since: Instant::now(), bytes: 0 }));
        }
    }

    /// Whether the pull may hold large documents.
    pub(crate) fn is_held(&self) -> bool {
        self.held(|held| held.is_some())
    }

    /// It holds none any more.
    pub(crate) fn release(&self) {
        drop(self.held(Option::take));
    }

    /// Bytes of a document came.
    pub(super) fn came(&self, bytes: usize) {
        self.held(|held| {
            if let Some(held) = held {
                held.bytes += bytes as u64;
            }
        });
    }

    /// Returns once a pull that has the right takes too long to be done with its documents.
    pub(super) async fn overdue(&self) {
        while !self.held(|held| held.as_ref().is_some_and(|held| held.is_overdue(self.permits.is_wanted()))) {
            tokio::time::sleep(LOOK).await;
        }
    }
}
