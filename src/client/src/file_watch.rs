//! Tells that files may have changed, however editors save them: over the old one, beside it with a rename, or after a
//! removal. Folders are watched, so that a file may be gone for a while.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::bounds::{WATCH_LONGEST, WATCH_QUIET};

/// What may make another text of a file.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watches the folders of files.
pub(crate) struct FileWatch {
    events: AsyncFd<OwnedFd>,
    folders: Vec<PathBuf>,
}

impl FileWatch {
    pub(crate) fn begin(paths: &[PathBuf]) -> io::Result<Self> {
        let events = peapod_sys::watched(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        let mut folders: Vec<PathBuf> = paths
            .iter()
            .map(|path| match path.parent() {
                _ if path.is_dir() => path.clone(),
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            })
            .collect();
        folders.sort();
        folders.dedup();
        let this = Self { events, folders };
        for folder in &this.folders {
            inotify::add_watch(this.events.get_ref(), folder, EVENTS)?;
        }
        Ok(this)
    }

    /// Waits until something has changed and then nothing for a moment; without a watch for ever.
    pub(crate) async fn changed(watch: &mut Option<Self>) {
        match watch {
            Some(watch) => watch.next().await,
            None => std::future::pending().await,
        }
    }

    async fn next(&mut self) {
        self.events_come().await;
        let latest = Instant::now() + WATCH_LONGEST;
        // What is saved in several steps is read once, after the last; but read it is, whoever goes on writing.
        while Instant::now() < latest {
            let quiet = (Instant::now() + WATCH_QUIET).min(latest);
            if timeout_at(quiet, self.events_come()).await.is_err() {
                break;
            }
        }
        for folder in &self.folders {
            // One that was made anew is watched from now on; one that is missing may come back, and nothing tells.
            let _ = inotify::add_watch(self.events.get_ref(), folder, EVENTS);
        }
    }

    /// Waits for events and takes them all.
    async fn events_come(&mut self) {
        loop {
            let Ok(mut ready) = self.events.readable().await else { return std::future::pending().await };
            let mut came = false;
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            while reader.next().is_ok() {
                came = true;
            }
            ready.clear_ready();
            if came {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;
    use tokio::time::timeout;

    async fn heard(watch: &mut FileWatch) -> bool {
        timeout(Duration::from_secs(10), watch.next()).await.is_ok()
    }

    #[tokio::test]
    async fn all_ways_of_saving_are_heard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pod.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = FileWatch::begin(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "b").unwrap();
        assert!(heard(&mut watch).await, "over the old one");
        fs::write(dir.path().join(".new"), "c").unwrap();
        fs::rename(dir.path().join(".new"), &file).unwrap();
        assert!(heard(&mut watch).await, "with a rename");
        fs::remove_file(&file).unwrap();
        assert!(heard(&mut watch).await, "a removal");
        fs::write(&file, "d").unwrap();
        assert!(heard(&mut watch).await, "made anew");
        assert!(timeout(Duration::from_millis(300), watch.next()).await.is_err(), "each once");
    }

    #[tokio::test]
    async fn who_never_stops_writing_is_read_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = FileWatch::begin(&[dir.path().to_owned()]).unwrap();
        let path = dir.path().join("other");
        let noise = async {
            loop {
                fs::write(&path, "x").unwrap();
                tokio::time::sleep(WATCH_QUIET / 10).await;
            }
        };
        let begun = Instant::now();
        tokio::select! {
            () = watch.next() => {}
            () = noise => {}
        }
        assert!(begun.elapsed() < 5 * WATCH_LONGEST, "{:?}", begun.elapsed());
    }
}
