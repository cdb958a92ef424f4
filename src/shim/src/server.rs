//! The three services on the shim's socket. A call's future only waits: the work is a task that goes on when the caller
//! has left.

mod extension;
mod sandbox;
mod task;

use std::sync::Arc;

use crate::error::Error;
use crate::shim::PodShim;
use crate::tasks;

/// Implements all three.
pub(crate) struct Service {
    shim: Arc<PodShim>,
}

impl Service {
    pub(crate) fn new(shim: Arc<PodShim>) -> Self {
        Self { shim }
    }

    /// Runs work to its end, whether the caller waits for it or not.
    async fn work<T, F>(&self, work: impl FnOnce(Arc<PodShim>) -> F) -> ttrpc::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        Ok(tasks::outcome(work(self.shim.clone())).await?)
    }

    fn unsupported<T>(what: &'static str) -> ttrpc::Result<T> {
        Err(Error::Unsupported(what).into())
    }
}
