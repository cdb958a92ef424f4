//! What is left of a checkpoint that nobody waits for any more: a paused container, a folder, half an archive.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use peapod_sys::Trash;
use tokio_util::task::TaskTracker;

use super::{place, writing};
use crate::bounds::CHECKPOINT_CONTAINERS;
use crate::container::ContainerOperations;
use crate::dir;
use crate::id::ContainerId;
use crate::read;
use crate::shim::{CheckpointCalls, Shim, ShimError};

/// File in a checkpoint's folder with the paths of what is being made elsewhere, a zero byte behind each.
const LEFT: &str = "left";
/// Bytes of these paths: what a pod's checkpoint has, and their list.
const BYTES: u64 = (CHECKPOINT_CONTAINERS as u64 + 4) * 4096;

/// Writes down what goes with the folder if the checkpoint comes to nothing.
pub(super) fn write_down(folder: &Path, paths: &[PathBuf]) -> io::Result<()> {
    let paths: Vec<u8> = paths.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    std::fs::write(folder.join(LEFT), paths)
}

/// What was written down stays from now on.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    place::remove(&folder.join(LEFT))
}

/// Ends what an earlier daemon was writing of a container that runs. In the background: CRIU may be at it.
pub(crate) fn end_abandoned(containers: &ContainerOperations, shim: &Shim, id: &ContainerId) {
    let folder = writing(&containers.layout.writable(id));
    if folder.symlink_metadata().is_err() {
        return;
    }
    let (shim, id, trash) = (shim.clone(), id.clone(), containers.trash.clone());
    tokio::spawn(async move { end(&shim, &id, &trash, folder, &TaskTracker::new()).await });
}

/// Lets the container go on, as soon as CRIU has come to its end, and removes the rest once nobody writes to it any
/// more.
pub(super) async fn end(shim: &Shim, id: &ContainerId, trash: &Trash, folder: PathBuf, running: &TaskTracker) {
    let container = id.short();
    match CheckpointCalls(shim).resume(id.as_str()).await {
        // It was not paused, or has ended.
        Ok(()) | Err(ShimError::State(_) | ShimError::NotFound(_) | ShimError::Gone(_)) => {}
        Err(error) => {
            // The folder stays: by that the next daemon tries it again.
            tracing::warn!(container, %error, "a container that a checkpoint has paused may not go on");
            return;
        }
    }
    running.close();
    running.wait().await;
    let removed = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || remove_others(&folder)
    });
    if let Ok(Err(error)) = removed.await {
        tracing::warn!(container, %error, "part of a checkpoint stays");
    }
    if let Err(error) = dir::remove(trash, folder).await {
        tracing::warn!(container, %error, "what is left of a checkpoint stays until the container is removed");
    }
}

fn remove_others(folder: &Path) -> io::Result<()> {
    let paths = match read::whole(&folder.join(LEFT), BYTES) {
        Ok(paths) => paths,
        // It died before it wrote that down.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    // One that was cut short has no zero byte.
    let whole = paths.split_inclusive(|byte| *byte == 0).filter_map(|path| path.strip_suffix(b"\0"));
    whole.map(|path| Path::new(OsStr::from_bytes(path))).filter(|path| path.is_absolute()).try_for_each(place::remove)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_goes() {
        let dir = tempfile::tempdir().unwrap();
        remove_others(dir.path()).unwrap();
        let files = ["a", "b", "c"].map(|name| dir.path().join(name));
        files.iter().for_each(|file| std::fs::write(file, "").unwrap());
        write_down(dir.path(), &[files[0].clone(), dir.path().join("none"), files[1].clone()]).unwrap();
        let cut = std::fs::read(dir.path().join(LEFT)).unwrap();
        std::fs::write(dir.path().join(LEFT), &cut[..cut.len() - 1]).unwrap();
        remove_others(dir.path()).unwrap();
        assert_eq!(files.each_ref().map(|file| file.exists()), [false, true, true]);
        std::fs::write(dir.path().join(LEFT), cut).unwrap();
        remove_others(dir.path()).unwrap();
        assert_eq!(files.each_ref().map(|file| file.exists()), [false, false, true]);
        // As many as there can be.
        let long = |index: usize| dir.path().join(format!("{index:0200}/").repeat(20));
        let mut many: Vec<_> = (0..CHECKPOINT_CONTAINERS + 3).map(long).collect();
        many.push(files[2].clone());
        write_down(dir.path(), &many).unwrap();
        forget(dir.path()).unwrap();
        remove_others(dir.path()).unwrap();
        assert!(files[2].exists());
        write_down(dir.path(), &many).unwrap();
        remove_others(dir.path()).unwrap();
        assert!(!files[2].exists());
    }
}
