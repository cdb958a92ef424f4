//! A pod's shim, as its services see it: the pod, its containers, what happened to them, and the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use peapod_cgroup::Hierarchy;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::container::host::Host;
use crate::containers::Containers;
use crate::error::Error;
use crate::events::Events;
use crate::family;
use crate::reaper::Reaper;
use crate::runtime::{RuntimeLauncher, Sealed};
use crate::sandbox::PodSandbox;
use crate::session::Sessions;
use crate::stdio::Null;
use crate::users::PodUsersCell;

/// How long a `runtime create` that is interrupted may take to be undone.
const CREATING: Duration = Duration::from_secs(30);
/// How long processes outside of every container's group may take to be gone after KILL.
const STRAYS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// All that a shim holds.
#[derive(Debug)]
pub(crate) struct PodShim {
    pub(crate) sandbox: Arc<PodSandbox>,
    pub(crate) containers: Containers,
    pub(crate) events: Arc<Events>,
    pub(crate) sessions: Sessions,
    ending: watch::Sender<bool>,
}

impl PodShim {
    /// Of the pod with that id and folder. The reaper runs already.
    pub(crate) fn new(
        id: String,
        bundle: PathBuf,
        reaper: Reaper,
        hierarchy: Hierarchy,
        sealed: Option<Sealed>,
        null: Null,
    ) -> Self {
        let events = Arc::new(Events::new());
        let users = PodUsersCell::default();
        let host =
            Host { launcher: RuntimeLauncher::new(reaper.clone(), sealed), hierarchy, null, users: Arc::clone(&users) };
        Self {
            containers: Containers::new(host, events.clone(), bundle.join("containers")),
            sandbox: Arc::new(PodSandbox::new(id, bundle, reaper, events.clone(), users)),
            events,
            sessions: Sessions::new(),
            ending: watch::Sender::new(false),
        }
    }

    /// StopSandbox: kills all containers, gives back what they have, ends pod init, unmounts. Once it is through, or as
    /// often as it is asked for.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.sandbox.begin_stop();
        self.containers.close();
        let start = Instant::now();
        while self.containers.interrupt_creating() && start.elapsed() < CREATING {
            sleep(PAUSE).await;
        }
        // Teardown goes on over errors; the first is the answer.
        let mut outcome = self.containers.stop().await;
        outcome = outcome.and(self.sandbox.end_init().await);
        outcome = outcome.and(end_strays().await);
        outcome = outcome.and(self.sandbox.unmount());
        if outcome.is_ok() {
            self.sandbox.end_stop();
        }
        outcome
    }

    /// Ends the shim, once the answer to who asked for it has left.
    pub(crate) fn end(&self) {
        self.containers.close();
        self.ending.send_replace(true);
    }

    pub(crate) async fn ended(&self) {
        // The sender is `self`'s.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }
}

/// What a runtime has left behind outside of every container's group: it has become a child of the shim's.
async fn end_strays() -> Result<(), Error> {
    let stuck = || Error::Stuck { what: "what the OCI runtime left behind".to_owned(), seconds: STRAYS.as_secs() };
    let ended = async {
        // A look while processes come and go may miss one whose parent went meanwhile: two in a row have to find
        // nothing.
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
