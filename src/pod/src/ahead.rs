//! What is done ahead of a container's process.
//!
//! The OCI runtime moves it into its cgroup, and the first such move in a while waits in the kernel for 6 to 10 ms. So
//! as soon as a container is asked for, peapod makes a move that changes nothing: the kernel's wait goes by beside all
//! that comes before the runtime's.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use peapod_cgroup::Hierarchy;
use peapod_sys::sync::lock;

/// How long it holds: a wait that began so long ago, and the time after it in which the next one needs none.
const HOLDS: Duration = Duration::from_millis(8);

/// Makes moves that change nothing.
#[derive(Debug)]
pub(crate) struct Ahead {
    hierarchy: Hierarchy,
    last: Mutex<Option<Instant>>,
}

impl Ahead {
    pub(crate) fn new(hierarchy: Hierarchy) -> Self {
        Self { hierarchy, last: Mutex::default() }
    }

    /// A process will soon be moved. Waits for nothing.
    pub(crate) fn of_a_move(&self) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| last.elapsed() < HOLDS) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let hierarchy = self.hierarchy.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = hierarchy.move_nothing() {
                tracing::debug!(%error, "no move could be made ahead: the runtime's takes its time");
            }
        });
    }
}
