//! The three services on the shim's socket. A call's future only waits: the work is a task that goes on when the caller has left.

mod extension;
mod sandbox;
mod task;

use std::sync::Arc;

use crate::core::Core;
use crate::error::Error;

/// Implements all three.
pub(crate) struct Service {
    core: Arc<Core>,
}

impl Service {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Runs work to its end, whether the caller waits for it or not.
    async fn work<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> ttrpc::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let work = tokio::spawn(work(self.core.clone()));
        Ok(work.await.unwrap_or(Err(Error::Ending))?)
    }

    fn unsupported<T>(what: &'static str) -> ttrpc::Result<T> {
        Err(Error::Unsupported(what).into())
    }
}
