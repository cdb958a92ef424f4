//! What is done to a running container: limits, pause, terminal size, log.

use std::ffi::OsStr;
use std::fs::File;
use std::sync::{Arc, PoisonError};

use rustix::termios::{Winsize, tcsetwinsize};

use super::{Container, Phase, record};
use crate::core::Core;
use crate::error::Error;
use crate::runtime::Call;

impl Container {
    /// Changes limits; `resources` is an OCI object in JSON.
    pub(crate) async fn update(&self, core: &Arc<Core>, resources: &[u8]) -> Result<(), Error> {
        let file = self.bundle.join("resources.json");
        record::write(&file, resources)?;
        let args = [OsStr::new("--resources"), "-".as_ref(), self.id.as_ref()];
        let mut call = Call::new("update", self.bundle.join("update.log"), &args);
        call.interrupt = Some(&self.calls);
        call.stdin = Some(File::open(&file).map_err(Error::io("open", &file))?.into());
        let updated = core.run(&self.runtime, call).await;
        let _ = std::fs::remove_file(&file);
        updated
    }

    pub(crate) async fn pause(&self, core: &Arc<Core>) -> Result<(), Error> {
        self.turn(core, "pause", Phase::Running, Phase::Paused).await
    }

    pub(crate) async fn resume(&self, core: &Arc<Core>) -> Result<(), Error> {
        self.turn(core, "resume", Phase::Paused, Phase::Running).await
    }

    async fn turn(&self, core: &Arc<Core>, action: &'static str, from: Phase, to: Phase) -> Result<(), Error> {
        let is = self.phase();
        if is != from {
            return Err(Error::State { kind: "container", id: self.id.clone(), is: is.word(), wanted: from.word() });
        }
        let args = [OsStr::new(&self.id)];
        let call = Call::new(action, self.bundle.join(format!("{action}.log")), &args).until(&self.calls);
        core.run(&self.runtime, call).await?;
        self.phase.send_if_modified(|phase| {
            // It may have ended meanwhile.
            let still = *phase == from;
            if still {
                *phase = to;
            }
            still
        });
        Ok(())
    }

    /// Opens the log's path anew.
    pub(crate) fn reopen_log(&self) -> Result<(), Error> {
        let missing = || Error::NotFound { kind: "log of container", id: self.id.clone() };
        let log = self.log.as_ref().ok_or_else(missing)?;
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        let path = log.path().to_path_buf();
        log.reopen().map_err(Error::io("open log", &path))
    }

    /// Sets a terminal's size: the container's, or with an id an exec's.
    pub(crate) fn resize(&self, exec: &str, width: u32, height: u32) -> Result<(), Error> {
        let side = |field, value: u32| {
            u16::try_from(value).map_err(|_| Error::Invalid { field, why: format!("{value} is more than 65535") })
        };
        let size =
            Winsize { ws_col: side("width", width)?, ws_row: side("height", height)?, ws_xpixel: 0, ws_ypixel: 0 };
        let set = if exec.is_empty() {
            self.terminal.as_ref().map(|terminal| tcsetwinsize(terminal, size))
        } else {
            self.exec(exec)?.with_terminal(|terminal| tcsetwinsize(terminal, size))
        };
        let missing = || Error::NotFound { kind: "terminal of container", id: self.id.clone() };
        set.ok_or_else(missing)?.map_err(Error::errno("resize", self.bundle.join("terminal").as_ref()))
    }
}
