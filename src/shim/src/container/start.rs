//! Start: `runtime start`.

use super::OciContainer;
use super::init_process::Reach;
use crate::clock;
use crate::error::Error;

impl OciContainer {
    /// Takes note of a start; refuses one of a container that is not just created.
    pub(crate) fn begin_start(&self) -> Result<(), Error> {
        let mut begun = Ok(());
        self.state.send_modify(|state| begun = state.begin_start(clock::now_ns()));
        begun.map_err(|_| self.refuse("created"))
    }

    /// Starts it after [`OciContainer::begin_start`]. When that fails the container is to be deleted, and only the
    /// error tells.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        let started = if self.checkpoints.is_restored() {
            // What made it has let it go on.
            Ok(())
        } else if let Reach::Guest(guest) = &self.init.reach {
            let started = guest.start(self.init.guest_name(), &self.interrupt).await;
            started.inspect_err(|_| guest.never_started())
        } else {
            self.init.runtime.start(self.init.target(&self.interrupt)).await
        };
        // The supervisor waits for this before it tells of an end.
        self.state.send_modify(|state| state.end_start(started.is_ok()));
        Ok(started?)
    }
}
