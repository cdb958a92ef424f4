//! Equal work is done once: whoever asks for it while it runs joins.

use peapod_measure::Counter;
use peapod_sys::sync::lock;
use peapod_trace::Span;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Work in progress, by key. When the last one who waits for some work goes, it is cancelled.
pub(crate) struct SingleFlight<K, T> {
    state: Mutex<Flights<K, T>>,
    joined: Counter,
}

struct Flights<K, T> {
    next: u64,
    running: HashMap<K, Running<T>>,
}

struct Running<T> {
    number: u64,
    waiting: usize,
    result: watch::Receiver<Option<T>>,
    task: AbortHandle,
    span: Span,
}

/// What came of it, and who did it.
pub(crate) struct FlightOutcome<T> {
    /// `None` if the work was cancelled or panicked.
    pub(crate) result: Option<T>,
    /// Whether this caller's own work was run, not that of someone who came before.
    pub(crate) own: bool,
}

impl<K, T> SingleFlight<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Flights { next: 0, running: HashMap::new() }), joined: Counter::default() })
    }

    /// Joins the work that runs under `key`, or starts `work`.
    pub(crate) async fn join<F>(self: &Arc<Self>, key: K, work: F) -> FlightOutcome<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.follow(key, || (Span::default(), work), |_| ()).await
    }

    /// The same with work that has a span, which those who wait for it are told.
    pub(crate) async fn follow<F>(
        self: &Arc<Self>,
        key: K,
        begin: impl FnOnce() -> (Span, F),
        tell: impl FnOnce(&Span),
    ) -> FlightOutcome<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (mut result, waiter, own) = self.subscribe(key, begin, tell);
        let outcome = match result.wait_for(Option::is_some).await {
            Ok(value) => value.clone(),
            Err(_) => None,
        };
        drop(waiter);
        FlightOutcome { result: outcome, own }
    }

    #[allow(clippy::type_complexity, reason = "used once, right above")]
    fn subscribe<F>(
        self: &Arc<Self>,
        key: K,
        begin: impl FnOnce() -> (Span, F),
        tell: impl FnOnce(&Span),
    ) -> (watch::Receiver<Option<T>>, Waiter<K, T>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut state = self.lock();
        if let Some(flight) = state.running.get_mut(&key) {
            flight.waiting += 1;
            self.joined.increment();
            tell(&flight.span);
            let waiter = Waiter { flights: Arc::clone(self), key, number: flight.number };
            return (flight.result.clone(), waiter, false);
        }
        let number = state.next;
        state.next += 1;
        let (done, result) = watch::channel(None);
        let (flights, own_key) = (Arc::clone(self), key.clone());
        let (span, work) = begin();
        tell(&span);
        let task = tokio::spawn(async move {
            let value = work.await;
            flights.finish(&own_key, number);
            // Nobody may be left who wants to know.
            let _ = done.send(Some(value));
        });
        let flight = Running { number, waiting: 1, result: result.clone(), task: task.abort_handle(), span };
        state.running.insert(key.clone(), flight);
        (result, Waiter { flights: Arc::clone(self), key, number }, true)
    }

    fn finish(&self, key: &K, number: u64) {
        let mut state = self.lock();
        if state.running.get(key).is_some_and(|flight| flight.number == number) {
            state.running.remove(key);
        }
    }
}

impl<K, T> SingleFlight<K, T> {
    /// How many asked for work that was running.
    pub(crate) fn joined(&self) -> &Counter {
        &self.joined
    }

    fn lock(&self) -> MutexGuard<'_, Flights<K, T>> {
        lock(&self.state)
    }
}

/// One who waits; leaving is dropping it.
struct Waiter<K: Eq + Hash, T> {
    flights: Arc<SingleFlight<K, T>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T> Drop for Waiter<K, T> {
    fn drop(&mut self) {
        let mut state = self.flights.lock();
        let Some(flight) = state.running.get_mut(&self.key).filter(|flight| flight.number == self.number) else {
            return;
        };
        flight.waiting -= 1;
        if flight.waiting == 0 {
            flight.task.abort();
            state.running.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SingleFlight;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn equal_work_is_done_once_and_again_later() {
        let flights = SingleFlight::<u8, usize>::new();
        let (count, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let work = || {
            let (count, go) = (Arc::clone(&count), Arc::clone(&go));
            async move {
                go.notified().await;
                count.fetch_add(1, Ordering::SeqCst)
            }
        };
        let (a, b, ()) = tokio::join!(flights.join(1, work()), flights.join(1, work()), async { go.notify_one() });
        assert_eq!((a.result, b.result, a.own, b.own), (Some(0), Some(0), true, false));
        assert_eq!(flights.joined().get(), 1);
        go.notify_one();
        assert_eq!(flights.join(1, work()).await.result, Some(1));
    }

    #[tokio::test]
    async fn the_last_to_leave_cancels() {
        let flights = SingleFlight::<u8, ()>::new();
        let alive = Arc::new(());
        let work = || {
            let alive = Arc::clone(&alive);
            async move {
                std::future::pending::<()>().await;
                drop(alive);
            }
        };
        let first = tokio::time::timeout(Duration::from_millis(10), flights.join(1, work()));
        let second = tokio::time::timeout(Duration::from_millis(30), flights.join(1, work()));
        let (first, second) = tokio::join!(first, second);
        assert!(first.is_err() && second.is_err());
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
        assert!(flights.lock().running.is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_no_hang() {
        let flights = SingleFlight::<u8, ()>::new();
        assert!(flights.join(1, async { panic!("a defect") }).await.result.is_none());
        assert!(flights.join(1, async {}).await.result.is_some());
    }
}
