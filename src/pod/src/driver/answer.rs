//! Results that a client may not have received yet.

use crate::driver::Waiter;
use crate::error::Error;

/// Who waits for a result, and whether anyone got it: a client whose deadline passed asks again and must then not be told
/// that its name is taken.
#[derive(Debug)]
pub(crate) struct Delivery<T> {
    waiters: Vec<Waiter<T>>,
    received: bool,
}

impl<T: Clone> Delivery<T> {
    pub(crate) fn new() -> Self {
        Self { waiters: Vec::new(), received: false }
    }

    /// A result that an earlier daemon made: whether it arrived, nobody knows; a retry is then given it once.
    pub(crate) fn unknown() -> Self {
        Self::new()
    }

    /// Waits for the result.
    pub(crate) fn join(&mut self, waiter: Waiter<T>) {
        self.waiters.push(waiter);
    }

    /// True once somebody has it.
    pub(crate) fn received(&self) -> bool {
        self.received
    }

    /// Gives the result to all who still wait.
    pub(crate) fn deliver(&mut self, result: &Result<T, Error>) {
        for waiter in self.waiters.drain(..) {
            self.received |= waiter.send(result.clone()).is_ok();
        }
    }
}

/// Answers everyone in the list.
pub(crate) fn all(waiters: &mut Vec<Waiter<()>>, result: &Result<(), Error>) {
    for waiter in waiters.drain(..) {
        // A client that is gone has no use for it.
        let _ = waiter.send(result.clone());
    }
}

/// Answers one.
pub(crate) fn one<T>(waiter: Waiter<T>, result: Result<T, Error>) {
    let _ = waiter.send(result);
}
