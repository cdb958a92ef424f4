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
    layout.roots().into_iter().try_for_each(|root| check(root, NEEDED_KIB))
}

/// Whether so many bytes, too, have room where containers are written. Blocks.
pub(crate) fn has_room_for(layout: &Layout, bytes: u64) -> Result<(), Error> {
    has_room_now(layout)?;
    check(&layout.writables(), (bytes >> 10).saturating_add(NEEDED_KIB))
}

/// The same for who has no thread that may wait.
pub(crate) async fn has_room(layout: &Arc<Layout>) -> Result<(), Error> {
    let layout = Arc::clone(layout);
    let look = tokio::task::spawn_blocking(move || has_room_now(&layout));
    look.await.map_err(|panic| Error::failed("look for room on disks", &panic))?
}

fn check(path: &Path, need: u64) -> Result<(), Error> {
    // What can't be asked says so when it is written to.
    let Ok(disk) = rustix::fs::statvfs(path) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 10;
    if free >= need {
        return Ok(());
    }
    Err(Error::DiskFull { path: path.to_owned(), free, need })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_some_bytes_and_not_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), dir.path());
        std::fs::create_dir(layout.writables()).unwrap();
        has_room_for(&layout, 0).unwrap();
        let refused = has_room_for(&layout, u64::MAX).unwrap_err();
        assert!(matches!(refused, Error::DiskFull { need, .. } if need > 1 << 50), "{refused}");
    }
}
