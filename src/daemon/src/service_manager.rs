//! What is said to the service manager, where there is one: systemd's notification protocol. Without NOTIFY_SOCKET in
//! the environment nothing is said.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

/// How many times within the service manager's watchdog timeout the daemon says that it is alive.
const SIGNS: u32 = 3;

/// Clients find the socket; also after [`reloading`].
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is being read again.
pub(crate) fn reloading() {
    // A reload is told from the one before by its time.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the time can't be read"),
    }
}

/// No more calls are taken.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Says for ever that the daemon is alive, if the service manager wants to hear it (`WatchdogSec=`). A daemon whose
/// tasks are not run any more falls silent and is started again, which pods don't notice.
pub(crate) async fn stay_alive() -> Infallible {
    let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| *timeout > Duration::ZERO) else {
        return std::future::pending().await;
    };
    loop {
        notify(&[NotifyState::Watchdog]);
        tokio::time::sleep(timeout / SIGNS).await;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
