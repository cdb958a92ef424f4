//! Operations of containers, one file each.

mod create;
mod devices;
mod exec;
mod fate;
mod host_folder;
mod interrupt;
mod limits;
mod look_up_slots;
mod mounts;
mod output;
mod remove;
mod seccomp;
mod spec;
mod start;
mod stop_signal;
mod update;

pub(crate) use create::{Prepared, create};
pub use exec::{ExecOutput, ExecRequest};
pub(crate) use exec::{end_abandoned, exec_sync};
pub(crate) use fate::{Expected, Fate, fate};
pub use output::OutputSlot;
pub(crate) use output::OutputSlots;
pub(crate) use remove::{end, remove};
pub(crate) use seccomp::Programs;
pub(crate) use start::{StartInput, Started, start};
pub(crate) use update::{Update, update};

use peapod_shim_protocol::exit::Exit;
use tokio::time::{Instant, timeout_at};

use self::look_up_slots::LookUpSlot;
use crate::bounds::LOOK_UP;
use crate::error::Error;
use crate::id::PodId;
use crate::read;

/// An exit file has five short lines.
const EXIT_FILE: u64 = 4096;

/// Does for a pod what blocks, for file systems of the node. Waits no longer than a living one needs.
async fn look_up<T: Send + 'static>(
    pod: &PodId,
    step: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let deadline = Instant::now() + LOOK_UP;
    let failed = |reason: String| Error::Failed { step: step.to_owned(), reason };
    let Ok(slot) = timeout_at(deadline, LookUpSlot::take(pod)).await else {
        let earlier = "earlier look-ups, of this pod or of many others, still wait for host paths that don't answer";
        return Err(failed(format!("{earlier}: is a file system dead?")));
    };
    let look = tokio::task::spawn_blocking(move || {
        let _until_it_answers = slot;
        work()
    });
    match timeout_at(deadline, look).await {
        Ok(outcome) => outcome.map_err(|error| Error::failed(step, &error))?,
        Err(_) => Err(failed(format!(
            "a host path, device or profile did not answer within {} s: is its file system dead?",
            LOOK_UP.as_secs()
        ))),
    }
}

/// How a container ended, as its shim wrote it down; `None` if it did not, or not entirely.
pub(crate) async fn exit_file(bundle: &std::path::Path) -> Option<Exit> {
    let bundle = bundle.to_path_buf();
    tokio::task::spawn_blocking(move || exit_file_now(&bundle)).await.ok()?
}

/// The same without a wait, for the moment before anybody is served: the run root is a tmpfs.
pub(crate) fn exit_file_now(bundle: &std::path::Path) -> Option<Exit> {
    let bytes = read::whole(&bundle.join(Exit::FILE), EXIT_FILE).ok()?;
    Exit::parse(std::str::from_utf8(&bytes).ok()?).ok()
}
