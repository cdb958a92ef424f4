//! The gRPC server behind the socket. Whoever may connect may ask, but costs no more than what stands in `bounds.rs`:
//! in connections, calls, memory and time. A connection without calls ends by itself, and sooner if others need its
//! place.

mod activity;
mod call;
mod codes;
mod executor;
mod headers;
mod measures;
mod methods;
mod self_wake;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Duration, Instant};
use tonic::service::Routes;

use self::activity::{Activity, ConnectionEnd, ConnectionTimeouts, SharedBudget};
use self::call::Calls;
use self::executor::CallExecutor;
use self::headers::Rewritten;
use self::self_wake::SelfWaking;
use crate::bounds::{CALLS_OF_CONNECTION, WINDOW};

pub(crate) use self::call::{Arrived, HeldUntilTaken};
pub(crate) use self::codes::{code_name, code_number};
pub(crate) use self::measures::GrpcMeasures;
pub(crate) use self::methods::service_of;

/// Time between two tries to accept a connection after one that failed, mostly for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to notice that its connection ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bounds of connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Connections at the same time.
    pub(crate) connections: usize,
    /// How long one without calls stays.
    pub(crate) idle: Duration,
    /// How long a request may take to arrive, and an answer to be taken.
    pub(crate) transfer: Duration,
}

/// A connection, as whoever closes it knows it.
struct ConnectionEntry {
    task: Id,
    activity: Arc<Activity>,
    /// Closes it at once.
    leave: Option<oneshot::Sender<()>>,
}

/// All connections.
struct Connections {
    routes: Routes,
    limits: ConnectionLimits,
    shared: Arc<SharedBudget>,
    measures: GrpcMeasures,
    tasks: JoinSet<()>,
    known: Vec<ConnectionEntry>,
    end: watch::Receiver<bool>,
}

/// Answers until the end is requested and every call that was there has its answer.
pub(crate) async fn serve(
    listener: UnixListener,
    routes: Routes,
    limits: ConnectionLimits,
    measures: GrpcMeasures,
    mut end: watch::Receiver<bool>,
) {
    let (tasks, known) = (JoinSet::new(), Vec::new());
    let shared = Arc::new(SharedBudget::new(measures.request_bytes.clone()));
    let mut connections = Connections { routes, limits, shared, measures, tasks, known, end: end.clone() };
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.add(stream),
                Err(error) => {
                    tracing::warn!(%error, "connections can't be accepted for the moment");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(ended) = connections.tasks.join_next_with_id() => {
                connections.forget(ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            _ = end.wait_for(|end| *end) => break,
        }
    }
    drop(listener);
    while connections.tasks.join_next().await.is_some() {}
}

impl Connections {
    fn add(&mut self, stream: UnixStream) {
        if self.known.len() >= self.limits.connections && !self.make_room() {
            self.measures.refused.increment();
            tracing::warn!(connections = self.known.len(), "a connection is refused: all that there may be have calls");
            return;
        }
        let greeted = Arc::<AtomicBool>::default();
        let timeouts = ConnectionTimeouts { idle: self.limits.idle, transfer: self.limits.transfer };
        let activity = Arc::new(Activity::new(Arc::clone(&self.shared), timeouts, Arc::clone(&greeted)));
        let (leave, asked) = oneshot::channel();
        let io = TokioIo::new(Rewritten::new(stream, greeted));
        let calls =
            Calls { routes: self.routes.clone(), activity: Arc::clone(&activity), measures: self.measures.clone() };
        let connection = server().serve_connection(io, calls);
        let (open, end) = (self.measures.connections.hold(), self.end.clone());
        let attended = attend(connection, Arc::clone(&activity), asked, end);
        let task = self.tasks.spawn(async move {
            attended.await;
            drop(open);
        });
        self.known.push(ConnectionEntry { task: task.id(), activity, leave: Some(leave) });
    }

    /// Closes the first connection of the eviction order; false if all have calls.
    fn make_room(&mut self) -> bool {
        let idle = self
            .known
            .iter()
            .enumerate()
            .filter_map(|(at, known)| known.activity.eviction_order().map(|order| (order, at)));
        let Some((_, at)) = idle.min() else { return false };
        let mut known = self.known.swap_remove(at);
        self.measures.evicted.increment();
        // It may have ended by itself.
        known.leave.take().map(|leave| leave.send(()));
        true
    }

    fn forget(&mut self, task: Id) {
        self.known.retain(|known| known.task != task);
    }
}

fn server() -> http2::Builder<CallExecutor> {
    let mut server = http2::Builder::new(CallExecutor);
    server
        .max_concurrent_streams(CALLS_OF_CONNECTION)
        // By default a connection is cut when twenty calls are given up before they are looked at, with all others on
        // it. That is against strangers; here it is a kubelet on a busy node.
        .max_pending_accept_reset_streams(usize::try_from(CALLS_OF_CONNECTION).ok())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    server
}

/// Serves one connection to its end, which is the client's or ours.
async fn attend(
    connection: http2::Connection<TokioIo<Rewritten>, Calls, CallExecutor>,
    activity: Arc<Activity>,
    asked: oneshot::Receiver<()>,
    mut end: watch::Receiver<bool>,
) {
    let mut connection = SelfWaking::new(connection);
    let mut asked = std::pin::pin!(asked);
    let (mut leaving, mut ending) = (None, false);
    let mut look = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    loop {
        tokio::select! {
            // With an error or without: there is nobody but the client to tell.
            _ = &mut connection => return,
            // Evicted for a new connection.
            Ok(()) = &mut asked => return,
            _ = end.wait_for(|end| *end), if !ending => {
                ending = true;
                connection.get().graceful_shutdown();
            }
            () = &mut look => {
                let now = Instant::now();
                let next = match (activity.due(now), leaving) {
                    (Ok(ConnectionEnd::Silent | ConnectionEnd::Stuck), _) => return,
                    // The client was asked to leave, and has not.
                    (Ok(ConnectionEnd::Idle), Some(since)) if now >= since + FAREWELL => return,
                    (Ok(ConnectionEnd::Idle), _) => {
                        leaving.get_or_insert(now);
                        connection.get().graceful_shutdown();
                        now + FAREWELL
                    }
                    (Err(next), _) => next,
                };
                look.as_mut().reset(next);
            }
        }
    }
}
