//! Memory for manifests, indexes and configurations: ordinary ones are free, large ones only a few pulls may hold.

use crate::bounds::{LARGE_DOCUMENT_TIME, LARGE_DOCUMENTS};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// One pull's right to hold large documents. Who asks first has it first.
pub(crate) struct Allowance {
    permits: Arc<Semaphore>,
    held: Mutex<Option<Permit>>,
}

/// To be kept for as long as a large document is in memory.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
    /// Until when the documents have to be there.
    pub(super) until: Instant,
}

/// What all pulls share.
pub(super) fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LARGE_DOCUMENTS))
}

impl Allowance {
    pub(super) fn new(permits: &Arc<Semaphore>) -> Self {
        Self { permits: Arc::clone(permits), held: Mutex::default() }
    }

    /// Waits for the right, if this pull does not have it yet.
    pub(super) async fn wait(&self) -> Option<Permit> {
        if self.until().is_some() {
            return None;
        }
        // Closed never: it lives as long as the permits are asked for.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        Some(Permit { _permit: permit, until: Instant::now() + LARGE_DOCUMENT_TIME })
    }

    /// The pull holds a large document from now on.
    pub(super) fn keep(&self, permit: Option<Permit>) {
        if permit.is_some() {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = permit;
        }
    }

    /// The same for documents that are on disk.
    pub(crate) async fn take(&self) {
        let permit = self.wait().await;
        self.keep(permit);
    }

    /// Whether the pull holds large documents.
    pub(crate) fn is_held(&self) -> bool {
        self.until().is_some()
    }

    /// It holds none any more.
    pub(crate) fn give_back(&self) {
        drop(self.held.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Until when a pull that has the right has to be done with its documents.
    pub(super) fn until(&self) -> Option<Instant> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| held.until)
    }
}
