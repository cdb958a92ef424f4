//! Asking a driver and waiting for its answer.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Pods;
use crate::driver::{Closed, Handle, Request, Waiter};
use crate::error::Error;

impl Pods {
    pub(super) async fn ask<T>(
        &self,
        what: &'static str,
        handle: &Handle,
        gone: impl Fn() -> Error,
        request: impl FnOnce(Waiter<T>) -> Request,
    ) -> Result<T, Error> {
        let (answer, result) = oneshot::channel();
        match handle.send(request(answer)).await {
            Ok(()) => self.wait(what, handle, result, gone).await,
            Err(Closed) => Err(self.gone(gone)),
        }
    }

    pub(super) async fn wait<T>(
        &self,
        what: &'static str,
        handle: &Handle,
        result: oneshot::Receiver<Result<T, Error>>,
        gone: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        self.wait_for(what, handle, result, self.node.patience().operation, gone).await
    }

    /// Waits for a driver's answer. The operation goes on when the wait is over or dropped.
    pub(super) async fn wait_for<T>(
        &self,
        what: &'static str,
        handle: &Handle,
        result: oneshot::Receiver<Result<T, Error>>,
        limit: Duration,
        gone: impl FnOnce() -> Error,
    ) -> Result<T, Error> {
        answer_within(what, handle, result, limit).await.unwrap_or_else(|| Err(self.gone(gone)))
    }

    /// The same; `None` when the driver ends without an answer.
    pub(super) async fn wait_or_gone<T>(
        &self,
        what: &'static str,
        handle: &Handle,
        result: oneshot::Receiver<Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        answer_within(what, handle, result, self.node.patience().operation).await
    }

    /// Why a driver takes no requests: its pod was removed this moment, or the daemon ends.
    pub(super) fn gone(&self, otherwise: impl FnOnce() -> Error) -> Error {
        if self.node.registry.is_closed() { Error::ShuttingDown } else { otherwise() }
    }
}

async fn answer_within<T>(
    what: &'static str,
    handle: &Handle,
    result: oneshot::Receiver<Result<T, Error>>,
    limit: Duration,
) -> Option<Result<T, Error>> {
    let began = Instant::now();
    match tokio::time::timeout(limit, result).await {
        Ok(answer) => answer.ok(),
        Err(_) => Some(Err(Error::StillRunning { what, stage: handle.stage().to_owned(), elapsed: began.elapsed() })),
    }
}
