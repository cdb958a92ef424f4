//! Which containers use something, and the time at which it is read.

use std::time::{SystemTime, UNIX_EPOCH};

use peapod_pod::{ContainerState, ContainerView};

/// Nanoseconds since the epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Whether a container has processes.
pub(crate) fn is_running(view: &ContainerView) -> bool {
    matches!(view.state, ContainerState::Running { .. })
}
