//! Turns at work that keeps the node's processors busy.
//!
//! A kubelet asks for all containers of its pods at once. Started at once they share the processors: none is ready
//! before nearly all are, and whatever else the node does, answering lists among it, waits behind a long run queue. In
//! turns the first are ready at once and the last no later.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a turn lasts. Who isn't done by then waits for something (a slow disk, an OCI runtime that hangs) and keeps
/// no processor busy: it goes on, but the next one begins.
const TURN: Duration = Duration::from_millis(250);

/// Turns, taken in the order of asking.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

impl Turns {
    /// Two for each processor, as such work also waits: for the disk, and in the kernel for other processors.
    pub(crate) fn of_processors() -> Self {
        Self::new(2 * std::thread::available_parallelism().map_or(1, usize::from))
    }

    fn new(count: usize) -> Self {
        Self(Semaphore::new(count))
    }

    /// Does a work in its turn.
    pub(crate) async fn take<T>(&self, work: impl Future<Output = T>) -> T {
        // An error would mean that the semaphore is closed, which nobody does.
        let turn = self.0.acquire().await.ok();
        let mut work = pin!(work);
        match tokio::time::timeout(TURN, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(turn);
                work.await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use tokio::task::JoinSet;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_as_there_are_in_the_order_of_asking() {
        let (turns, busy) = (Arc::new(Turns::new(3)), Arc::new(AtomicUsize::new(0)));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..20 {
            let (turns, busy, order) = (Arc::clone(&turns), Arc::clone(&busy), Arc::clone(&order));
            all.spawn(async move {
                let work = async {
                    order.lock().unwrap().push(number);
                    assert!(busy.fetch_add(1, Ordering::Relaxed) < 3);
                    sleep(TURN / 2).await;
                    busy.fetch_sub(1, Ordering::Relaxed);
                };
                turns.take(work).await;
            });
        }
        all.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_long_holds_up_nobody_for_long() {
        let (turns, began) = (Arc::new(Turns::new(2)), Instant::now());
        let mut stuck = JoinSet::new();
        for _ in 0..6 {
            let turns = Arc::clone(&turns);
            stuck.spawn(async move { turns.take(std::future::pending::<()>()).await });
        }
        tokio::task::yield_now().await;
        turns.take(async {}).await;
        assert_eq!(began.elapsed().as_millis(), 3 * TURN.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_turn_along() {
        let turns = Turns::new(1);
        let given_up = tokio::time::timeout(TURN / 2, turns.take(std::future::pending::<()>())).await;
        assert!(given_up.is_err());
        turns.take(async {}).await;
    }
}
