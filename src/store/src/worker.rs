//! A thread that owns one connection and runs what it is given, one after the other.

use crate::error::{OpenError, StoreError};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tokio::sync::{mpsc, oneshot};

/// How much work may wait for the thread before callers have to.
const QUEUE: usize = 256;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) path: PathBuf,
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    pub(crate) fn start(name: &str, path: &Path, mut connection: Connection) -> Result<Self, OpenError> {
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        // The thread owns the connection and ends when the last sender is dropped and the queue is empty.
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
                if let Err((_, error)) = connection.close() {
                    tracing::warn!(%error, "a database did not close cleanly");
                }
            })
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), jobs })
    }

    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A panic unwinds through the transaction, which rolls back; the connection stays usable. Without this
            // one defect would end the thread, and with it every later write.
            let outcome = catch_unwind(AssertUnwindSafe(|| work(connection)));
            // Nobody may be waiting any more; the work is done all the same.
            let _ = answer.send(outcome);
        });
        self.jobs.send(job).await.map_err(|_| StoreError::Closed { path: self.path.clone() })?;
        match result.await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(source))) => Err(StoreError::Sqlite { path: self.path.clone(), source }),
            Ok(Err(_)) => Err(StoreError::Panicked { path: self.path.clone() }),
            Err(_) => Err(StoreError::Closed { path: self.path.clone() }),
        }
    }
}
