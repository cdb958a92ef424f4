//! A stop overrides a start, whatever that waits for.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::Error;
use crate::id::ContainerId;
use crate::shim::{Shim, ShimError};

/// Between two times that the shim is told. One of them may come before the call that it is to end.
const AGAIN: Duration = Duration::from_millis(100);

/// A start that can be overridden.
pub(super) struct Overridable<'a> {
    pub(super) shim: &'a Shim,
    pub(super) id: &'a ContainerId,
    pub(super) signal: u32,
    /// The deadline of a stop, once there is one.
    pub(super) stop: watch::Receiver<Option<i64>>,
}

impl Overridable<'_> {
    /// Waits for what leaves nothing behind when it is given up.
    pub(super) async fn or_give_up<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = asked(&mut self.stop) => Err(self.error()),
            done = work => Ok(done),
        }
    }

    /// Waits for a call to the shim; when a stop comes the shim is told of it, which ends the call.
    pub(super) async fn or_have_it_ended<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = asked(&mut self.stop) => {}
        }
        loop {
            let deadline = self.stop.borrow().unwrap_or(0);
            let tell = async {
                if let Err(error) = self.shim.stop(self.id.as_str(), self.signal, deadline).await {
                    tracing::debug!(container = self.id.short(), %error, "a start can't be ended");
                }
                tokio::time::sleep(AGAIN).await;
            };
            tokio::select! {
                biased;
                done = &mut call => return done,
                () = tell => {}
            }
        }
    }

    /// Has the shim start the created container, unless a stop has come.
    pub(super) async fn start(&mut self) -> Result<u32, ShimError> {
        let (shim, id) = (self.shim, self.id);
        match self.check() {
            Ok(()) => self.or_have_it_ended(shim.start_task(id.as_str())).await,
            Err(overridden) => Err(ShimError::Refused(overridden.to_string())),
        }
    }

    /// Before the next step.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.stop.borrow().is_some() { Err(self.error()) } else { Ok(()) }
    }

    /// What a start that failed ends with.
    pub(super) fn error_or(&self, error: Error) -> Error {
        if self.stop.borrow().is_some() { self.error() } else { error }
    }

    fn error(&self) -> Error {
        Error::Overridden { what: "container", id: self.id.to_string() }
    }
}

async fn asked(stop: &mut watch::Receiver<Option<i64>>) {
    // An error means that the driver is gone: it asks for nothing any more.
    if stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
