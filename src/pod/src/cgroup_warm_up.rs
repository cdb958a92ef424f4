//! Cgroup moves warmed up before a container's process is moved.
//!
//! The OCI runtime moves the process into its cgroup, and the first such move in a while waits in the kernel for 6 to
//! 10 ms. So as soon as a container is asked for, peapod makes a move that changes nothing: the kernel's wait goes by
//! beside all that comes before the runtime's move.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use peapod_cgroup::Hierarchy;
use peapod_sys::sync::lock;

/// How long a warm-up is good for: the kernel's wait, and the time after it in which the next move waits for nothing.
const GOOD_FOR: Duration = Duration::from_millis(8);

/// Warms cgroup moves up, once for all that are asked for at a time.
#[derive(Debug)]
pub(crate) struct CgroupWarmUp {
    hierarchy: Hierarchy,
    last: Mutex<Option<Instant>>,
}

impl CgroupWarmUp {
    pub(crate) fn new(hierarchy: Hierarchy) -> Self {
        Self { hierarchy, last: Mutex::default() }
    }

    /// Begins, as a process will soon be moved. Waits for nothing.
    pub(crate) fn begin(&self) {
        let mut last = lock(&self.last);
        if last.is_some_and(|last| last.elapsed() < GOOD_FOR) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let hierarchy = self.hierarchy.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = hierarchy.warm_up_moves() {
                tracing::debug!(%error, "cgroup moves could not be warmed up: the OCI runtime waits for its own");
            }
        });
    }
}
