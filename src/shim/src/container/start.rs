//! Start: `runtime start`. When it fails the container is removed, and only the call's error tells.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{Container, Phase, lock};
use crate::clock;
use crate::core::Core;
use crate::error::Error;
use crate::runtime::Call;

impl Container {
    pub(crate) async fn start(&self, core: &Arc<Core>) -> Result<(), Error> {
        let mut was = Phase::Created;
        self.phase.send_if_modified(|phase| {
            was = *phase;
            let may = *phase == Phase::Created;
            if may {
                *phase = Phase::Starting;
            }
            may
        });
        if was != Phase::Created {
            return Err(Error::State { kind: "container", id: self.id.clone(), is: was.word(), wanted: "created" });
        }
        *lock(&self.started_at) = clock::now_ns();
        let args = [OsStr::new(&self.id)];
        let call = Call::new("start", self.bundle.join("start.log"), &args).until(&self.calls);
        let started = core.run(&self.runtime, call).await;
        if let Err(error) = started {
            self.phase.send_replace(Phase::StartFailed);
            if let Err(left) = self.delete(core).await {
                crate::log::warn("a failed start leaves something", &[("container", &self.id), ("error", &left)]);
            }
            return Err(error);
        }
        // The supervisor waits for this before it tells of an end.
        self.phase.send_replace(Phase::Running);
        Ok(())
    }
}
