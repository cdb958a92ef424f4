//! Results that a client may not have received yet.

use crate::driver::Waiter;
use crate::error::Error;

/// Who waits for a result, and whether any client is known to have it.
///
/// A client whose deadline passed asks again and must then not be told that its name is taken. That it was sent an answer
/// proves nothing: it may have left while the answer was on its way, and no transport says whether it read it. What proves
/// it is a call that builds on the result. So an equal request gets the same result until such a call has come. Reading
/// proves nothing either: whoever lists pods can ask for the status of what is found there, as the kubelet does.
#[derive(Debug)]
pub(crate) struct Delivery<T> {
    waiters: Vec<Waiter<T>>,
    stage: Stage,
}

/// How far a result is on its way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is none yet, or it is not on disk yet.
    Pending,
    /// It can be given to everyone who asks for the same.
    Open,
    /// A client has it.
    BuiltOn,
}

impl<T: Clone> Delivery<T> {
    pub(crate) fn new() -> Self {
        Self::at(Stage::Pending)
    }

    /// Of something that an earlier daemon made, as far as the record tells.
    pub(crate) fn at(stage: Stage) -> Self {
        Self { waiters: Vec::new(), stage }
    }

    /// Waits for the result.
    pub(crate) fn join(&mut self, waiter: Waiter<T>) {
        add(&mut self.waiters, waiter);
    }

    /// Somebody asks for what only makes sense with the result at hand.
    pub(crate) fn build_on(&mut self) {
        self.stage = Stage::BuiltOn;
    }

    /// What an equal request meets.
    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Gives the result to all who still wait. An error is theirs alone; a success stays open.
    pub(crate) fn deliver(&mut self, result: &Result<T, Error>) {
        if self.stage == Stage::Pending && result.is_ok() {
            self.stage = Stage::Open;
        }
        all(&mut self.waiters, result);
    }
}

/// One more waits; those who left meanwhile are forgotten, so that a client which asks again and again makes no heap.
pub(crate) fn add<T>(waiters: &mut Vec<Waiter<T>>, waiter: Waiter<T>) {
    waiters.retain(|waiter| !waiter.is_closed());
    waiters.push(waiter);
}

/// Answers everyone in the list.
pub(crate) fn all<T: Clone>(waiters: &mut Vec<Waiter<T>>, result: &Result<T, Error>) {
    for waiter in waiters.drain(..) {
        // A client that is gone has no use for it.
        let _ = waiter.send(result.clone());
    }
}

/// Answers one.
pub(crate) fn one<T>(waiter: Waiter<T>, result: Result<T, Error>) {
    // As above.
    let _ = waiter.send(result);
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_result_stays_open_until_it_is_built_on() {
        let mut delivery = Delivery::new();
        let (waiter, mut answer) = oneshot::channel();
        delivery.join(waiter);
        assert_eq!(delivery.stage(), Stage::Pending);
        delivery.deliver(&Ok(7));
        assert_eq!(answer.try_recv().unwrap().unwrap(), 7);
        assert_eq!(delivery.stage(), Stage::Open, "that it was sent proves nothing");
        delivery.build_on();
        delivery.deliver(&Ok(7));
        assert_eq!(delivery.stage(), Stage::BuiltOn);
    }

    #[test]
    fn an_error_is_not_kept() {
        let mut delivery = Delivery::<u8>::new();
        delivery.deliver(&Err(Error::ShuttingDown));
        assert_eq!(delivery.stage(), Stage::Pending);
    }

    #[test]
    fn waiters_who_left_make_no_heap() {
        let mut delivery = Delivery::<u8>::new();
        for _ in 0..100 {
            delivery.join(oneshot::channel().0);
        }
        assert_eq!(delivery.waiters.len(), 1);
    }
}
