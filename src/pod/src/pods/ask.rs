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
        self.wait_for(what, handle, result, self.node.config.operation_timeout, gone).await
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
        let began = Instant::now();
        match tokio::time::timeout(limit, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.gone(gone)),
            Err(_) => Err(Error::StillRunning { what, stage: handle.stage().to_owned(), elapsed: began.elapsed() }),
        }
    }

    /// Why a driver takes no requests: its pod was removed this moment, or the daemon ends.
    pub(super) fn gone(&self, otherwise: impl FnOnce() -> Error) -> Error {
        if self.node.registry.is_closed() { Error::ShuttingDown } else { otherwise() }
    }
}
