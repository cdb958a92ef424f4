//! Directories that go when nobody keeps them.

use peapod_sys::Trash;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A directory of ours that goes to the trash, with all that is in it, when this is dropped without [`Scratch::keep`].
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    name: String,
    kept: bool,
    trash: Trash,
}

/// `ingest` in the state root: what is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Ingest {
    dir: PathBuf,
    trash: Trash,
}

impl Ingest {
    pub(crate) fn new(state_root: &Path, trash: Trash) -> Self {
        Self { dir: state_root.join("ingest"), trash }
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
                Ok(()) => return Ok(Scratch { path, name, kept: false, trash: self.trash.clone() }),
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
        let (path, trash) = (std::mem::take(&mut self.path), self.trash.clone());
        let remove = move || {
            if let Err(error) = trash.put(&path) {
                tracing::warn!(path = %path.display(), %error, "it can't be removed before the next start");
            }
        };
        // A busy disk takes a while, and this may be an asynchronous thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
