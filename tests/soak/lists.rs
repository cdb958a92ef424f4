//! A client that lists all the time, on a thread and a connection of its own: what it waits for is the daemon alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peapod_tests::{Client, Daemon, Pod, Samples};

use crate::options::Options;

/// Between two rounds: fifty times as often as a kubelet, and no load by itself.
const PAUSE: Duration = Duration::from_millis(20);

/// How long lists took, and what was wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) pods: Samples,
    pub(crate) containers: Samples,
    /// How much too late the same thread woke up from its pauses: what the machine adds to every wait, whoever answers.
    pub(crate) late: Samples,
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
                        found.late.time(began.elapsed().saturating_sub(PAUSE));
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
    let began = Instant::now();
    match client.pods().await {
        Ok(list) => {
            found.pods.time(began.elapsed());
            found.incomplete += usize::from(list.len() < pods);
        }
        Err(status) => found.errors.push(status.to_string()),
    }
    let began = Instant::now();
    match client.containers().await {
        Ok(list) => {
            found.containers.time(began.elapsed());
            found.incomplete += usize::from(list.len() < containers);
        }
        Err(status) => found.errors.push(status.to_string()),
    }
}
