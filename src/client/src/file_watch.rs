//! Tells that files may have changed, however editors save them: over the old one, beside it with a rename, or after a
//! removal. Folders are watched, so that a file may be gone for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

use crate::bounds::{WATCH_LONGEST, WATCH_QUIET};
use crate::manifest_files;

/// What may make another text of a file.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// How many links one after another are followed.
const LINKS: usize = 8;

/// Watches the folders of files, and of all that links on the way to them lead to.
pub(crate) struct FileWatch {
    events: AsyncFd<OwnedFd>,
    paths: Vec<PathBuf>,
    folders: BTreeMap<PathBuf, i32>,
}

impl FileWatch {
    pub(crate) fn begin(paths: &[PathBuf]) -> io::Result<Self> {
        let events = peapod_sys::watched(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)?;
        let mut this = Self { events, paths: paths.to_vec(), folders: BTreeMap::new() };
        for path in paths {
            // Those of links may be missing, and be there another time.
            let folder = own_folder(path);
            let watch = inotify::add_watch(this.events.get_ref(), &folder, EVENTS)?;
            this.folders.insert(folder, watch);
        }
        this.look();
        Ok(this)
    }

    /// Watches what is to be watched by now, and nothing else.
    fn look(&mut self) {
        let wanted: BTreeSet<PathBuf> = self.paths.iter().flat_map(|path| folders(path)).collect();
        let mut watched = BTreeMap::new();
        for folder in wanted {
            // One that was made anew is watched from now on; one that is missing may come back, and nothing tells.
            if let Ok(watch) = inotify::add_watch(self.events.get_ref(), &folder, EVENTS) {
                watched.insert(folder, watch);
            }
        }
        let before = std::mem::replace(&mut self.folders, watched);
        for watch in before.into_values().filter(|watch| !self.folders.values().any(|other| other == watch)) {
            // Gone with its folder.
            let _ = inotify::remove_watch(self.events.get_ref(), watch);
        }
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
        self.look();
    }

    /// Waits for events and takes them all.
    async fn events_come(&mut self) {
        loop {
            let Ok(mut ready) = self.events.readable().await else { return std::future::pending().await };
            let mut came = false;
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            while let Ok(event) = reader.next() {
                // That a watch has ended is no change; what ended it was.
                came |= !event.events().contains(ReadFlags::IGNORED);
            }
            ready.clear_ready();
            if came {
                return;
            }
        }
    }
}

/// The folder in which a file's name stands; a folder itself.
fn own_folder(path: &Path) -> PathBuf {
    match path.parent() {
        _ if path.is_dir() => path.to_owned(),
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// All folders in which something can make another text of a file, or of those in a folder.
fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    // Of a folder that can't be read, or has none, there is the folder.
    let files = if path.is_dir() { manifest_files::files(path).unwrap_or_default() } else { Vec::new() };
    for path in files.iter().map(PathBuf::as_path).chain([path]) {
        let mut at = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        found.insert(own_folder(&at));
        for _ in 0..LINKS {
            let ancestors: Vec<&Path> = at.ancestors().collect();
            let Some(link) = ancestors.into_iter().rev().find(|ancestor| ancestor.is_symlink()) else { break };
            let (Some(parent), Ok(target)) = (link.parent(), link.read_link()) else { break };
            let rest = at.strip_prefix(link).map(Path::to_owned).unwrap_or_default();
            found.insert(parent.to_owned());
            at = parent.join(target);
            if !rest.as_os_str().is_empty() {
                at.push(rest);
            }
            found.insert(own_folder(&at));
        }
    }
    found
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
    async fn what_links_lead_to_is_heard() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for version in ["v1", "v2", "v3"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("p.yaml"), version).unwrap();
        }
        fs::create_dir(at("named")).unwrap();
        let swap = |to: &str| {
            symlink(to, at("new")).unwrap();
            fs::rename(at("new"), at("cur")).unwrap();
        };
        swap("v1");
        symlink("../cur/p.yaml", at("named/f.yaml")).unwrap();
        // A file by a link, a folder that is one, a file in that, and a folder with a link in it.
        for named in ["named/f.yaml", "cur", "cur/p.yaml", "named"] {
            let mut watch = FileWatch::begin(&[at(named)]).unwrap();
            for version in ["v2", "v3"] {
                swap(version);
                assert!(heard(&mut watch).await, "{named}: another target");
                fs::write(at(version).join("p.yaml"), "saved").unwrap();
                assert!(heard(&mut watch).await, "{named}: saved in the new one");
            }
            assert!(timeout(Duration::from_millis(300), watch.next()).await.is_err(), "{named}: each once");
            let watched = watch.folders.len();
            assert!(watched <= 4, "{named}: {:?}", watch.folders);
            fs::write(at("v1/p.yaml"), "saved").unwrap();
            assert!(timeout(Duration::from_millis(300), watch.next()).await.is_err(), "{named}: what it led to once");
            swap("v1");
        }
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
