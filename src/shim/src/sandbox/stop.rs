//! StopSandbox: kills all containers, gives back what they have, ends pod init, unmounts. Once it is through, or as often as it is asked for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Stop;
use crate::clock;
use crate::core::Core;
use crate::error::Error;
use crate::family;
use crate::log;
use crate::mount::unmount;

/// For a `runtime create` that still runs to be ended and undone.
const CREATING: Duration = Duration::from_secs(30);
/// For what no container accounts for to be gone.
const STRAYS: Duration = Duration::from_secs(5);
/// How long pod init may take after TERM, and after KILL.
const INIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) async fn stop(core: &Arc<Core>) -> Result<(), Error> {
    core.sandbox.stop.send_if_modified(|stop| {
        let first = *stop == Stop::No;
        if first {
            *stop = Stop::Stopping;
        }
        first
    });
    let start = Instant::now();
    while core.interrupt_creating() && start.elapsed() < CREATING {
        sleep(PAUSE).await;
    }
    // Teardown goes on over errors; the first is the answer.
    let mut outcome = stop_containers(core).await;
    outcome = outcome.and(end_init(core).await);
    outcome = outcome.and(end_strays().await);
    let mounts = core.sandbox.lock().mounts.clone();
    for target in mounts.iter().rev() {
        outcome = outcome.and(unmount(target).map_err(Error::from));
    }
    if outcome.is_ok() {
        let mut state = core.sandbox.lock();
        state.mounts.clear();
        (state.ipc, state.uts) = (None, None);
        drop(state);
        core.sandbox.stop.send_if_modified(|stop| {
            let first = *stop == Stop::Stopping;
            if first {
                *stop = Stop::Stopped { at: clock::now_ns() };
            }
            first
        });
    }
    outcome
}

async fn stop_containers(core: &Arc<Core>) -> Result<(), Error> {
    let containers = core.containers();
    // All at once: one that is slow to die keeps nobody waiting.
    let ends: Vec<_> = containers
        .iter()
        .map(|container| {
            let (core, container) = (core.clone(), container.clone());
            tokio::spawn(async move {
                container.finish().await?;
                container.release(&core).await
            })
        })
        .collect();
    let mut outcome = Ok(());
    for (end, container) in ends.into_iter().zip(&containers) {
        let end = end.await.unwrap_or(Err(Error::Ending));
        if let Err(error) = &end {
            log::warn("a container can't be stopped", &[("container", &container.id), ("error", error)]);
        }
        outcome = outcome.and(end);
    }
    outcome
}

/// What a runtime has left behind outside of every container's group: it has become a child of the shim's.
async fn end_strays() -> Result<(), Error> {
    let stuck = || Error::Stuck { what: "what the OCI runtime left behind".to_owned(), seconds: STRAYS.as_secs() };
    let ended = async {
        // A look while processes come and go may miss one whose parent went meanwhile: two in a row have to find nothing.
        let mut nothing = 0;
        while nothing < 2 {
            let mut killed = family::kill_descendants();
            nothing = if killed.are_gone() { nothing + 1 } else { 0 };
            while !killed.are_gone() {
                sleep(PAUSE).await;
            }
        }
    };
    timeout(STRAYS, ended).await.map_err(|_| stuck())
}

async fn end_init(core: &Core) -> Result<(), Error> {
    let Some(init) = core.sandbox.pod_init() else { return Ok(()) };
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        init.signal(signal);
        if timeout(INIT, init.wait()).await.is_ok() {
            return Ok(());
        }
    }
    Err(Error::Stuck { what: "pod init".to_owned(), seconds: 2 * INIT.as_secs() })
}
