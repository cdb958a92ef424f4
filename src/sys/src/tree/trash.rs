//! Trees that go in the background.
//!
//! Removing a tree may take minutes: with ext4 that discards freed blocks at once, milliseconds an entry. Nobody waits
//! for that: a tree is moved into the trash, which is one rename, and one thread of low priority removes what is there.
//! What a process that was killed left there goes when the next one opens it.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::remove::{NotRemoved, remove_tree, remove_tree_within};
use crate::bounds::{TRASH_SLICE, TREE_REMOVAL};

/// The thread's priority, as `nice` counts: what pods' programs and the daemon do comes first, also on the disk.
const NICE: i32 = 10;

/// A folder whose entries are removed in the background. Clones are the same; the thread ends with the last of them.
#[derive(Clone, Debug)]
pub struct Trash {
    folder: Arc<Path>,
    /// Number of the next entry's name.
    next: Arc<AtomicU64>,
    /// Has room for one: that there is something is all that the thread needs to be told.
    wake: SyncSender<()>,
}

impl Trash {
    /// Makes the folder if it is missing, and begins to remove what is in it.
    ///
    /// `failed` is called, on the thread, for each entry that can't be removed: it stays for the next process.
    ///
    /// # Errors
    /// The folder or the thread can't be made.
    pub fn open(folder: PathBuf, failed: impl Fn(&Path, &NotRemoved) + Send + 'static) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (wake, woken) = sync_channel(1);
        let folder: Arc<Path> = folder.into();
        let own = Arc::clone(&folder);
        std::thread::Builder::new().name("trash".to_owned()).spawn(move || work(&own, &woken, failed))?;
        let trash = Self { folder, next: Arc::default(), wake };
        trash.wake();
        Ok(trash)
    }

    /// Moves a tree into the trash; nothing there is success. On another file system it is removed where it is.
    ///
    /// # Errors
    /// It can be neither moved nor removed.
    pub fn put(&self, path: &Path) -> Result<(), NotRemoved> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let target = self.folder.join(number.to_string());
            match rustix::fs::renameat_with(CWD, path, CWD, &target, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.wake();
                    return Ok(());
                }
                Err(Errno::NOENT) if self.folder.exists() => return Ok(()),
                // Left by an earlier process.
                Err(Errno::EXIST) => {}
                // Another file system; or a mount point, which is then named.
                Err(_) => return remove_tree(path),
            }
        }
    }

    /// Removes a tree, as [`remove_tree`] does, for a moment; what is left then goes in the background. Blocks.
    ///
    /// # Errors
    /// The first of what could not be removed, if that is found at once.
    pub fn remove(&self, path: &Path) -> Result<(), NotRemoved> {
        if remove_tree_within(path, TREE_REMOVAL)? { Ok(()) } else { self.put(path) }
    }

    fn wake(&self) {
        // Full: the thread will look anyway.
        let _ = self.wake.try_send(());
    }
}

/// Empties the folder whenever something was put into it.
fn work(folder: &Path, woken: &Receiver<()>, failed: impl Fn(&Path, &NotRemoved)) {
    // Of this thread alone. Without it all goes as well, if less considerately.
    let _ = rustix::process::setpriority_process(None, NICE);
    while woken.recv().is_ok() {
        empty(folder, TRASH_SLICE, &failed);
    }
}

/// Removes what is in the folder, each entry in its turn, until nothing is left but what can't be removed.
fn empty(folder: &Path, slice: Duration, failed: &impl Fn(&Path, &NotRemoved)) {
    loop {
        let mut is_left = false;
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            match remove_tree_within(&entry.path(), slice) {
                Ok(is_done) => is_left |= !is_done,
                Err(error) => failed(&entry.path(), &error),
            }
        }
        if !is_left {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Trash, empty};
    use std::fs;
    use std::path::Path;
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    /// In memory, and gone in the end.
    fn place(name: &str) -> std::path::PathBuf {
        let path = Path::new("/dev/shm").join(format!("peapod-trash-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn wait_empty(folder: &Path) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_dir(folder).unwrap().next().is_some() {
            assert!(Instant::now() < deadline, "{} is not emptied", folder.display());
            std::thread::yield_now();
        }
    }

    fn tree(root: &Path, entries: usize) {
        for number in 0..entries {
            fs::create_dir_all(root.join(format!("{number}/inner"))).unwrap();
        }
    }

    #[test]
    fn what_is_put_there_goes_and_what_was_left_there_too() {
        let place = place("put");
        let folder = place.join("trash");
        tree(&folder.join("0"), 10);
        let trash = Trash::open(folder.clone(), |path, error| panic!("{}: {error}", path.display())).unwrap();
        for number in 0..3 {
            let gone = place.join(format!("tree-{number}"));
            tree(&gone, 100);
            trash.put(&gone).unwrap();
            assert!(!gone.exists());
            trash.put(&gone).unwrap();
        }
        trash.remove(&place.join("nothing")).unwrap();
        wait_empty(&folder);
        super::remove_tree(&place).unwrap();
    }

    #[test]
    fn a_large_tree_holds_up_no_other_and_one_that_stays_is_named() {
        let place = place("turns");
        tree(&place.join("large"), 3000);
        tree(&place.join("small"), 1);
        // No time at all: each turn does nothing, and comes to the next.
        let (tell, told) = channel();
        let late = super::remove_tree_within(&place.join("large"), Duration::ZERO);
        assert!(!late.unwrap() && place.join("large").exists());
        empty(&place, Duration::from_micros(200), &|path: &Path, _: &_| tell.send(path.to_owned()).unwrap());
        assert!(fs::read_dir(&place).unwrap().next().is_none());
        assert!(told.try_recv().is_err());
        super::remove_tree(&place).unwrap();
    }

    #[test]
    fn another_file_system_is_no_hindrance() {
        let place = place("other");
        let other = std::env::temp_dir().join(format!("peapod-trash-{}", std::process::id()));
        tree(&other, 2);
        let trash = Trash::open(place.join("trash"), |_, _| {}).unwrap();
        trash.put(&other).unwrap();
        assert!(!other.exists());
        wait_empty(&place.join("trash"));
        super::remove_tree(&place).unwrap();
    }
}
