//! Whether the kernel killed of a container for lack of memory. On cgroup v2 the count goes with the group, which
//! systemd removes as soon as it is empty; so it is followed from the beginning.

use peapod_cgroup::{Cgroup, OomWatch};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::init_process::SIGKILL;
use crate::log;
use crate::reaper::ExitStatus;

/// What is known of a container's kills.
#[derive(Debug)]
pub(crate) struct Oom {
    cgroup: Option<Cgroup>,
    watch: Option<AsyncFd<OomWatch>>,
    /// As last read.
    kills: u64,
    /// The group above, which outlives this one, and its count at the beginning.
    parent: Option<(Cgroup, u64)>,
}

impl Oom {
    /// Begins to follow a group.
    pub(crate) fn follow(cgroup: Option<&Cgroup>) -> Self {
        let watch = cgroup.and_then(Cgroup::oom_watch);
        // Only where the count can go away is there a need for another.
        let parent = cgroup.filter(|_| watch.is_some()).and_then(Cgroup::parent);
        let parent = parent.and_then(|parent| {
            let kills = parent.oom_kills().ok()??;
            Some((parent, kills))
        });
        Self { cgroup: cgroup.cloned(), watch: watch.and_then(listen), kills: 0, parent }
    }

    /// Waits for news and takes note of them. Does not end where there is nothing to wait for.
    pub(crate) async fn note(&mut self) {
        let Some(watch) = &self.watch else { return std::future::pending().await };
        let Ok(mut changed) = watch.ready(Interest::PRIORITY).await else { return std::future::pending().await };
        // First, or a change after the reading would be lost.
        changed.clear_ready();
        self.look();
    }

    /// Takes note of the count as it is now.
    pub(crate) fn look(&mut self) {
        match self.watch.as_ref().map(|watch| watch.get_ref().kills()) {
            Some(Some(kills)) => self.kills = self.kills.max(kills),
            // Gone: what was read is what there is.
            Some(None) => self.watch = None,
            None => {}
        }
    }

    /// The verdict, when all processes are gone. `expected`: a KILL was due from us.
    pub(crate) fn verdict(&self, id: &str, ended: &ExitStatus, expected: bool) -> bool {
        let Some(cgroup) = &self.cgroup else { return false };
        match cgroup.oom_kills() {
            Ok(Some(kills)) => kills > 0,
            Ok(None) => self.kills > 0 || (!expected && ended.signal == Some(SIGKILL.unsigned_abs()) && self.above()),
            Err(error) => {
                log::warn("out-of-memory count is unknown", &[("container", &id), ("error", &error)]);
                self.kills > 0
            }
        }
    }

    /// Whether the count of the group above has risen. Somebody else's kill may be in it; but nobody sent this KILL.
    fn above(&self) -> bool {
        let Some((parent, before)) = &self.parent else { return false };
        parent.oom_kills().ok().flatten().is_some_and(|kills| kills > *before)
    }
}

#[allow(deprecated, reason = "what comes instead is unsafe, for descriptors that change; this is a file of its own")]
fn listen(watch: OomWatch) -> Option<AsyncFd<OomWatch>> {
    AsyncFd::with_interest(watch, Interest::PRIORITY).ok()
}
