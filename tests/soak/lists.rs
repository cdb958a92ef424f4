//! A client that lists all the time, on a thread and a connection of its own: what it waits for is the daemon, and a
//! processor for itself, which is counted apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peapod_tests::{Client, Daemon, Pod};

use crate::book::Times;
use crate::options::Options;

/// Between two rounds: fifty times as often as a kubelet, and no load by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// How long lists of a kind took.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// By the clock.
    pub(crate) seen: Times,
    /// Without the time in which the client could have gone on, but had no processor: what is left is the daemon's.
    pub(crate) served: Times,
}

/// How long lists took, and what was wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pods: Answered,
    pub(crate) containers: Answered,
    /// How much too late the same thread woke up from its pauses: what the machine adds to every wait, whoever answers.
    pub(crate) late: Times,
    /// Lists without something that was there.
    pub(crate) incomplete: usize,
    pub(crate) errors: Vec<String>,
}

/// The client.
pub(crate) struct Lists {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Found>,
}

impl Lists {
    /// Lists from now on.
    pub(crate) fn start(daemon: &Daemon, stay: &[Pod<'_>], options: &Options) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (socket, stop) = (daemon.socket(), Arc::clone(&ended));
        let (pods, containers) = (stay.len(), stay.len() * options.containers);
        let thread = std::thread::spawn(move || {
            let mut found = Found::default();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let client = Client::new(socket);
                    while !stop.load(Ordering::Relaxed) {
                        round(&client, pods, containers, &mut found).await;
                        let began = Instant::now();
                        // Of the thread, as tokio's timers count in whole milliseconds. It has nothing else to do.
                        std::thread::sleep(PAUSE);
                        found.late.push(began.elapsed().saturating_sub(PAUSE));
                    }
                }),
                Err(error) => found.errors.push(error.to_string()),
            }
            found
        });
        Self { ended, thread }
    }

    /// Enough.
    pub(crate) fn end(self) -> Found {
        self.ended.store(true, Ordering::Relaxed);
        let panicked = |_| Found { errors: vec!["the client panicked".to_owned()], ..Found::default() };
        self.thread.join().unwrap_or_else(panicked)
    }
}

async fn round(client: &Client, pods: usize, containers: usize, found: &mut Found) {
    let watch = Watch::start();
    match client.pods().await {
        Ok(list) => {
            watch.stop(&mut found.pods);
            found.incomplete += usize::from(list.len() < pods);
        }
        Err(status) => found.errors.push(status.to_string()),
    }
    let watch = Watch::start();
    match client.containers().await {
        Ok(list) => {
            watch.stop(&mut found.containers);
            found.incomplete += usize::from(list.len() < containers);
        }
        Err(status) => found.errors.push(status.to_string()),
    }
}

/// A list that is waited for.
struct Watch {
    began: Instant,
    delayed: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { began: Instant::now(), delayed: delayed() }
    }

    fn stop(&self, answered: &mut Answered) {
        let seen = self.began.elapsed();
        answered.seen.push(seen);
        answered.served.push(seen.saturating_sub(delayed().saturating_sub(self.delayed)));
    }
}

/// How long this thread has waited for a processor since it began: the second number of schedstat (proc(5) has no page of
/// it; the kernel's Documentation/scheduler/sched-stats.rst has), in nanoseconds. Nothing where the kernel doesn't count it.
fn delayed() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let number = text.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(number.unwrap_or(0))
}
