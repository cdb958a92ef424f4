//! A limit on how many containers are started or removed at a time: work that keeps the node's processors busy.
//!
//! A kubelet asks for all containers of its pods at once. Started at once they share the processors: none is ready
//! before nearly all are, and whatever else the node does, answering lists among it, waits behind a long run queue.
//! Behind a limit the first are ready at once and the last no later.

use std::pin::pin;
use std::time::Duration;

use peapod_measure::Gauge;
use tokio::sync::Semaphore;

/// How long a permit is held at most. Work that isn't done by then waits for something (a slow disk, an OCI runtime
/// that hangs) and keeps no processor busy: it goes on without a permit, and the next one begins.
const PERMIT_TIME: Duration = Duration::from_millis(250);

/// Permits, given in the order of asking.
#[derive(Debug)]
pub(crate) struct StartLimiter {
    permits: Semaphore,
    /// Work that waits for a permit, and that has one.
    waiting: Gauge,
    working: Gauge,
}

impl StartLimiter {
    /// Two permits for each processor, as such work also waits: for the disk, and in the kernel for other processors.
    /// `waiting`, `working`: count the work that waits, and that is being done.
    pub(crate) fn for_processors(waiting: Gauge, working: Gauge) -> Self {
        let permits = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        Self { waiting, working, ..Self::new(permits) }
    }

    fn new(permits: usize) -> Self {
        Self { permits: Semaphore::new(permits), waiting: Gauge::default(), working: Gauge::default() }
    }

    /// Waits for a permit, then does the work.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // An error would mean that the semaphore is closed, which nobody does.
        let waiting = self.waiting.hold();
        let permit = self.permits.acquire().await.ok();
        drop(waiting);
        let _working = self.working.hold();
        let mut work = pin!(work);
        match tokio::time::timeout(PERMIT_TIME, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(permit);
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
        let (limiter, busy) = (Arc::new(StartLimiter::new(3)), Arc::new(AtomicUsize::new(0)));
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut all = JoinSet::new();
        for number in 0..20 {
            let (limiter, busy, order) = (Arc::clone(&limiter), Arc::clone(&busy), Arc::clone(&order));
            all.spawn(async move {
                let work = async {
                    order.lock().unwrap().push(number);
                    assert!(busy.fetch_add(1, Ordering::Relaxed) < 3);
                    sleep(PERMIT_TIME / 2).await;
                    busy.fetch_sub(1, Ordering::Relaxed);
                };
                limiter.run(work).await;
            });
        }
        all.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_long_holds_up_nobody_for_long() {
        let (limiter, began) = (Arc::new(StartLimiter::new(2)), Instant::now());
        let mut stuck = JoinSet::new();
        for _ in 0..6 {
            let limiter = Arc::clone(&limiter);
            stuck.spawn(async move { limiter.run(std::future::pending::<()>()).await });
        }
        tokio::task::yield_now().await;
        limiter.run(async {}).await;
        assert_eq!(began.elapsed().as_millis(), 3 * PERMIT_TIME.as_millis());
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_keeps_no_permit() {
        let limiter = StartLimiter::new(1);
        let given_up = tokio::time::timeout(PERMIT_TIME / 2, limiter.run(std::future::pending::<()>())).await;
        assert!(given_up.is_err());
        limiter.run(async {}).await;
    }
}
