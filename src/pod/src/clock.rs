//! The clocks that lives of pods and containers are measured by.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    nanoseconds(ClockId::Realtime)
}

/// Nanoseconds since boot, sleep included: what stop deadlines are counted in, because nobody can set it.
pub(crate) fn boottime() -> i64 {
    nanoseconds(ClockId::Boottime)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
