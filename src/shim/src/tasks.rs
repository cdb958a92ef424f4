//! Tasks of the shim, which tokio runs as one kind: what it generates for each kind of future is a kilobyte of program,
//! of which every pod's shim has all in memory.

use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::error::Error;

/// Runs it to its end, whether somebody waits for it or not.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(task);
    tokio::spawn(task)
}

/// The same of work that has an outcome, for who waits for it. It begins at once.
pub(crate) fn outcome<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send {
    let (answer, answered) = oneshot::channel();
    spawn(async move {
        // Nobody may wait for it any more.
        let _ = answer.send(work.await);
    });
    async { answered.await.unwrap_or(Err(Error::Ending)) }
}
