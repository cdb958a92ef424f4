//! Nothing new is begun on a full disk.
//!
//! What is begun must be recorded, and ended again: a database's reserve (`peapod-store`) is for the ends.

use std::path::Path;
use std::sync::Arc;

use crate::error::Error;
use crate::layout::Layout;

/// What must be free before something is begun.
const NEEDED_KIB: u64 = 1024;

/// Looks at the disks that a new pod, container or process writes to. Blocks: a disk may not answer.
pub(crate) fn has_room_now(layout: &Layout) -> Result<(), Error> {
    layout.roots().into_iter().try_for_each(check)
}

/// The same for who has no thread that may wait.
pub(crate) async fn has_room(layout: &Arc<Layout>) -> Result<(), Error> {
    let layout = Arc::clone(layout);
    let look = tokio::task::spawn_blocking(move || has_room_now(&layout));
    look.await.map_err(|panic| Error::failed("look for room on disks", &panic))?
}

fn check(path: &Path) -> Result<(), Error> {
    // What can't be asked says so when it is written to.
    let Ok(disk) = rustix::fs::statvfs(path) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 10;
    if free >= NEEDED_KIB {
        return Ok(());
    }
    Err(Error::DiskFull { path: path.to_owned(), free, need: NEEDED_KIB })
}
