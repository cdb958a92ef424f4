//! What tells those that work for a pull that it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// That a pull's image was refused: all that work for the pull share it. What is cancelled by that may still be making
/// a file when the image's blobs are condemned.
#[derive(Clone, Debug, Default)]
pub(crate) struct PullRefusal(Arc<AtomicBool>);

impl PullRefusal {
    /// From here on what the pull alone has brought is of no use.
    pub(crate) fn refuse(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
