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
            Ok(()) => self.wait_for(what, handle, result, self.node.patience().operation, gone).await,
            Err(Closed) => Err(self.unanswered(what, handle, gone)),
        }
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
        let answer = answer_within(what, handle, result, limit).await;
        answer.unwrap_or_else(|| Err(self.unanswered(what, handle, gone)))
    }

    /// The same; `None` when the pod is gone before it answers.
    pub(super) async fn wait_or_gone<T>(
        &self,
        what: &'static str,
        handle: &Handle,
        result: oneshot::Receiver<Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        let answer = answer_within(what, handle, result, self.node.patience().operation).await;
        answer.or_else(|| self.is_driven(handle).then_some(Err(Error::Defect { what })))
    }

    /// Why a driver answers nothing: its pod was removed this moment, the daemon ends, or it panicked.
    pub(super) fn unanswered(&self, what: &'static str, handle: &Handle, gone: impl FnOnce() -> Error) -> Error {
        if self.is_driven(handle) { Error::Defect { what } } else { self.gone(gone) }
    }

    /// A pod that is gone is forgotten before anyone is left without an answer.
    fn is_driven(&self, handle: &Handle) -> bool {
        self.node.registry.get(handle.id()).is_some()
    }

    /// Why there is no driver: the pod was removed this moment, or the daemon ends.
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
