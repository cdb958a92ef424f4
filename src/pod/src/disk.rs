//! Nothing new is begun on a full disk.
//!
//! What is begun must be recorded, and ended again: a database's reserve (`peapod-store`) is for the ends.

use std::path::Path;

use crate::error::Error;
use crate::node::Node;

/// What must be free before something is begun.
const NEEDED_KIB: u64 = 1024;

/// Looks at the disks that a new pod, container or process writes to.
pub(crate) fn has_room(node: &Node) -> Result<(), Error> {
    check(&node.config.state_root)?;
    check(&node.config.run_root)
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
