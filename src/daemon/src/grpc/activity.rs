//! What a connection is doing, and what it uses of what all connections share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use peapod_measure::{Gauge, GaugeHold};
use peapod_sys::sync::{get_mut, lock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Duration, Instant};
use tonic::Status;

use crate::bounds::{CALLS, FREE_CALLS, FREE_REQUEST_BYTES, HANDSHAKE, REQUEST_BYTES, REQUEST_BYTES_OF_CONNECTION};

/// How long connections may take and do nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimeouts {
    pub(super) idle: Duration,
    pub(super) transfer: Duration,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct SharedBudget {
    calls: Arc<Semaphore>,
    request_bytes: Arc<Semaphore>,
    /// All of them, also those that each connection may have.
    measured_bytes: Gauge,
}

impl SharedBudget {
    /// `measured_bytes`: counts the bytes of requests that are in memory.
    pub(super) fn new(measured_bytes: Gauge) -> Self {
        let (calls, request_bytes) = (Semaphore::new(CALLS), Semaphore::new(REQUEST_BYTES));
        Self { calls: Arc::new(calls), request_bytes: Arc::new(request_bytes), measured_bytes }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Activity {
    shared: Arc<SharedBudget>,
    timeouts: ConnectionTimeouts,
    greeted: Arc<AtomicBool>,
    inner: Mutex<ActivityState>,
}

#[derive(Debug)]
struct ActivityState {
    /// Calls that have not ended.
    open: usize,
    /// Bytes of their requests.
    request_bytes: usize,
    /// Whether there was any call.
    called: bool,
    /// When the last one began or ended; at first, when the connection was made.
    last: Instant,
    /// Number of the last call.
    next: u64,
    /// Calls with an answer, or a part of one, that is not taken yet, in the order of their beginning, and when it was
    /// there.
    answered: BTreeMap<u64, Instant>,
}

/// Why a connection has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionEnd {
    /// It speaks no HTTP/2.
    Silent,
    /// It has no calls.
    Idle,
    /// It takes no answers.
    Stuck,
}

impl Activity {
    pub(super) fn new(shared: Arc<SharedBudget>, timeouts: ConnectionTimeouts, greeted: Arc<AtomicBool>) -> Self {
        let (open, request_bytes, called, next) = (0, 0, false, 0);
        let inner =
            ActivityState { open, request_bytes, called, last: Instant::now(), next, answered: BTreeMap::new() };
        Self { shared, timeouts, greeted, inner: Mutex::new(inner) }
    }

    /// What the connection has to end for, or when to ask again.
    pub(super) fn due(&self, now: Instant) -> Result<ConnectionEnd, Instant> {
        let ConnectionTimeouts { idle, transfer } = self.timeouts;
        let inner = self.lock();
        let (when, due) = match inner.answered.values().min() {
            Some(answered) => (*answered + transfer, ConnectionEnd::Stuck),
            // Whatever comes of its calls takes longer than that.
            None if inner.open > 0 => return Err(now + transfer.min(idle)),
            None if self.greeted.load(Ordering::Relaxed) => (inner.last + idle, ConnectionEnd::Idle),
            None => (inner.last + HANDSHAKE.min(idle), ConnectionEnd::Silent),
        };
        if when <= now { Ok(due) } else { Err(when) }
    }

    /// By this, the least first, connections are closed for new ones: those that never had a call before others, then
    /// by the end of the last call. `None` while it has calls.
    pub(super) fn eviction_order(&self) -> Option<(bool, Instant)> {
        let inner = self.lock();
        (inner.open == 0).then_some((inner.called, inner.last))
    }

    /// A call begins.
    pub(super) fn begin(self: &Arc<Self>) -> Result<Call, Status> {
        let mut inner = self.lock();
        let permit = if inner.open < FREE_CALLS {
            None
        } else {
            let permit = Arc::clone(&self.shared.calls).try_acquire_owned();
            Some(permit.map_err(|_| busy(&format!("more than {CALLS} calls wait for an answer")))?)
        };
        inner.open += 1;
        inner.called = true;
        inner.last = Instant::now();
        inner.next += 1;
        let (number, activity) = (inner.next, Arc::clone(self));
        let measured = self.shared.measured_bytes.hold_none();
        let bytes = Mutex::new(Bytes { own: 0, shared: None, measured });
        Ok(Call { activity, number, bytes, _permit: permit })
    }

    fn lock(&self) -> MutexGuard<'_, ActivityState> {
        // Nothing that holds it can panic.
        lock(&self.inner)
    }
}

/// A call, until its answer is taken or given up.
#[derive(Debug)]
pub(super) struct Call {
    activity: Arc<Activity>,
    number: u64,
    bytes: Mutex<Bytes>,
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Bytes {
    own: usize,
    shared: Option<OwnedSemaphorePermit>,
    measured: GaugeHold,
}

impl Call {
    /// How long its request may take to arrive.
    pub(super) fn transfer(&self) -> Duration {
        self.activity.timeouts.transfer
    }

    /// So many more bytes of its request are here.
    pub(super) fn receive(&self, count: usize) -> Result<(), Status> {
        let mut inner = self.activity.lock();
        let all = inner.request_bytes.saturating_add(count);
        if all > REQUEST_BYTES_OF_CONNECTION {
            return Err(busy("requests of more than 32 MiB arrive at the same time over one connection"));
        }
        let mut bytes = lock(&self.bytes);
        if all > FREE_REQUEST_BYTES {
            let permits = u32::try_from(count).unwrap_or(u32::MAX);
            let permit = Arc::clone(&self.activity.shared.request_bytes).try_acquire_many_owned(permits);
            let permit = permit.map_err(|_| busy("too many large requests arrive at the same time"))?;
            match &mut bytes.shared {
                Some(shared) => shared.merge(permit),
                none => *none = Some(permit),
            }
        }
        inner.request_bytes = all;
        bytes.own += count;
        bytes.measured.add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Its answer is there, or the next part of it.
    pub(super) fn answered(&self) {
        self.activity.lock().answered.insert(self.number, Instant::now());
    }

    /// All of its answer that is there was taken, and more is to come.
    pub(super) fn taken(&self) {
        self.activity.lock().answered.remove(&self.number);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let own = get_mut(&mut self.bytes).own;
        let mut inner = self.activity.lock();
        inner.open -= 1;
        inner.request_bytes -= own;
        inner.last = Instant::now();
        inner.answered.remove(&self.number);
    }
}

fn busy(why: &str) -> Status {
    Status::resource_exhausted(format!("{why}: try again in a moment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The clock has gone on.
    fn later() {
        let now = Instant::now();
        while Instant::now() == now {}
    }

    fn shared() -> Arc<SharedBudget> {
        Arc::new(SharedBudget::new(Gauge::default()))
    }

    fn connection(shared: &Arc<SharedBudget>) -> Arc<Activity> {
        let timeouts = ConnectionTimeouts { idle: SECOND * 60, transfer: SECOND * 5 };
        Arc::new(Activity::new(Arc::clone(shared), timeouts, Arc::default()))
    }

    #[test]
    fn a_connection_ends_for_a_reason() {
        let activity = connection(&shared());
        let begun = activity.lock().last;
        assert_eq!(activity.due(begun), Err(begun + HANDSHAKE));
        assert_eq!(activity.due(begun + HANDSHAKE), Ok(ConnectionEnd::Silent));
        activity.greeted.store(true, Ordering::Relaxed);
        assert_eq!(activity.due(begun + HANDSHAKE), Err(begun + SECOND * 60));
        let call = activity.begin().unwrap();
        // A call may take as long as it likes.
        assert!(activity.due(begun + SECOND * 1000).is_err());
        call.answered();
        assert_eq!(activity.due(Instant::now() + SECOND * 5), Ok(ConnectionEnd::Stuck));
        // An answer in parts may take as long as it likes, too, as long as each is taken.
        call.taken();
        assert!(activity.due(begun + SECOND * 1000).is_err());
        call.answered();
        assert_eq!(activity.due(Instant::now() + SECOND * 5), Ok(ConnectionEnd::Stuck));
        drop(call);
        assert_eq!(activity.due(Instant::now() + SECOND * 60), Ok(ConnectionEnd::Idle));
    }

    #[test]
    fn connections_are_evicted_in_order() {
        let shared = shared();
        let (silent, early, late, busy) =
            (connection(&shared), connection(&shared), connection(&shared), connection(&shared));
        later();
        drop(early.begin().unwrap());
        later();
        drop(late.begin().unwrap());
        let call = busy.begin().unwrap();
        assert!(
            silent.eviction_order() < early.eviction_order()
                && early.eviction_order() < late.eviction_order()
                && busy.eviction_order().is_none()
        );
        drop(call);
    }

    #[test]
    fn whoever_takes_all_leaves_every_connection_something() {
        let shared = shared();
        let hogs = [connection(&shared), connection(&shared), connection(&shared)];
        let mut calls: Vec<_> = hogs.iter().flat_map(|hog| (0..CALLS).map_while(|_| hog.begin().ok())).collect();
        assert_eq!(calls.len(), CALLS + 3 * FREE_CALLS);
        let other = connection(&shared);
        let own: Vec<_> = (0..FREE_CALLS).map(|_| other.begin().unwrap()).collect();
        assert_eq!(other.begin().unwrap_err().code(), tonic::Code::ResourceExhausted);
        drop(own);
        calls.clear();

        // The same with bytes.
        let connections: Vec<_> = (0..8).map(|_| connection(&shared)).collect();
        calls.extend(connections.iter().map(|connection| connection.begin().unwrap()));
        for call in &calls {
            while call.receive(16 << 10).is_ok() {}
            assert!(call.activity.lock().request_bytes <= REQUEST_BYTES_OF_CONNECTION);
        }
        let call = other.begin().unwrap();
        call.receive(FREE_REQUEST_BYTES).unwrap();
        assert_eq!(call.receive(1).unwrap_err().code(), tonic::Code::ResourceExhausted);
        drop(calls);
        call.receive(16 << 20).unwrap();
        assert_eq!(shared.measured_bytes.get(), FREE_REQUEST_BYTES as u64 + (16 << 20));
        drop(call);
        assert_eq!(shared.measured_bytes.get(), 0);
        assert_eq!(shared.request_bytes.available_permits(), REQUEST_BYTES);
        assert_eq!(shared.calls.available_permits(), CALLS);
    }
}
