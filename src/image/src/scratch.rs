//! Directories that go when nobody keeps them.

use peapod_sys::Trash;
use peapod_sys::sync::lock;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A directory of ours that goes to the trash, with all that is in it, when this is dropped without [`Scratch::keep`].
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    name: String,
    kept: bool,
    leaving: Leaving,
}

/// `ingest` in the state root: what is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    dir: PathBuf,
    leaving: Leaving,
}

/// What goes to the trash. However much is dropped at once, as when an import of thousands of layers is given up, one
/// thread at a time takes it there: the others are for what is still wanted.
#[derive(Clone, Debug)]
struct Leaving {
    trash: Trash,
    queue: Arc<Mutex<LeavingQueue>>,
}

#[derive(Debug, Default)]
struct LeavingQueue {
    paths: Vec<PathBuf>,
    /// Somebody takes them, and will look once more before it ends.
    is_taken: bool,
}

impl Ingest {
    pub(crate) fn new(state_root: &Path, trash: Trash) -> Self {
        Self { dir: state_root.join("ingest"), leaving: Leaving { trash, queue: Arc::default() } }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// A new file that is gone when it is closed.
    pub(crate) fn unnamed(&self) -> io::Result<File> {
        let dir = self.scratch()?;
        OpenOptions::new().read(true).write(true).create_new(true).open(dir.path().join("blob"))
    }

    /// Makes a new, empty directory, under a name that was never used.
    pub(crate) fn scratch(&self) -> io::Result<Scratch> {
        loop {
            let mut random = [0_u8; 6];
            let count = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
            let name = hex::encode(random.get(..count).unwrap_or_default());
            let path = self.dir.join(&name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Scratch { path, name, kept: false, leaving: self.leaving.clone() }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The last part of the path: short, and the same after a move.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Moves the directory into `parent`. It is still removed when dropped.
    pub(crate) fn move_into(&mut self, parent: &Path) -> io::Result<()> {
        let target = parent.join(&self.name);
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &self.path,
            rustix::fs::CWD,
            &target,
            rustix::fs::RenameFlags::NOREPLACE,
        )?;
        self.path = target;
        Ok(())
    }

    /// From now on somebody else knows of it.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        self.leaving.put(std::mem::take(&mut self.path));
    }
}

impl Leaving {
    fn put(&self, path: PathBuf) {
        {
            let mut queue = lock(&self.queue);
            queue.paths.push(path);
            if std::mem::replace(&mut queue.is_taken, true) {
                return;
            }
        }
        let own = self.clone();
        let take = move || own.take();
        // A busy disk takes a while, and this may be an asynchronous thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(take)),
            Err(_) => take(),
        }
    }

    fn take(&self) {
        while let Some(path) = self.next() {
            if let Err(error) = self.trash.put(&path) {
                tracing::warn!(path = %path.display(), %error, "it can't be removed before the next start");
            }
        }
    }

    fn next(&self) -> Option<PathBuf> {
        let mut queue = lock(&self.queue);
        let path = queue.paths.pop();
        queue.is_taken = path.is_some();
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads of this process by that name.
    fn threads(name: &str) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|found| found.trim_end() == name).count()
    }

    #[test]
    fn what_is_dropped_all_at_once_takes_few_threads() {
        const NAME: &str = "leaving-test";
        let dir = tempfile::tempdir().unwrap();
        let ingest = dir.path().join("ingest");
        std::fs::create_dir(&ingest).unwrap();
        let trash = Trash::open(dir.path().join("trash"), |_, _| {}).unwrap();
        let own = Ingest::new(dir.path(), trash);
        let runtime = tokio::runtime::Builder::new_current_thread().thread_name(NAME).build().unwrap();
        let scratches: Vec<_> = (0..500).map(|_| own.scratch().unwrap()).collect();
        let kept = own.scratch().map(|mut kept| {
            kept.keep();
            kept.path().to_owned()
        });
        runtime.block_on(async move { drop(scratches) });
        // Those that have ended are kept for a while.
        let used = threads(NAME);
        assert!(used <= 8, "{used} threads");
        // What a runtime has not begun is not begun any more once that ends.
        while ingest.read_dir().unwrap().count() > 500 {
            std::thread::yield_now();
        }
        drop(runtime);
        let left: Vec<_> = ingest.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [kept.unwrap()], "what was begun is done before the runtime is gone");
        drop(own.scratch().unwrap());
        assert_eq!(ingest.read_dir().unwrap().count(), 1, "without a runtime it goes at once");
    }
}
