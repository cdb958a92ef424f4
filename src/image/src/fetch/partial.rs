//! Partial blobs: who works on which, and how long those stay that nobody works on.

use super::makers::Makers;
use crate::bounds::PARTIAL_LOOK;
use crate::config::Config;
use crate::digest::Digest;
use crate::pull_refusal::PullRefusal;
use crate::reference::Reference;
use crate::scratch::Ingest;
use peapod_sys::sync::lock;
use peapod_sys::{KeyedGuard, KeyedLock};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// The compressed blobs in `ingest`.
pub(super) struct Partials {
    ingest: Ingest,
    /// Of one registry's blobs: the same blob may be several layers of one image. Registries do not wait for one
    /// another: one that is slow with a layer that many images have would hold up all of these.
    blobs: KeyedLock<(String, Digest)>,
    /// Of the files that stay for the next pull.
    files: Arc<KeyedLock<Digest>>,
    keep: Keep,
    makers: Arc<Mutex<Makers>>,
    /// Somebody is done with one: there may be one too many.
    ended: Arc<Notify>,
}

/// The right to work on a blob.
pub(super) struct Partial {
    ingest: Ingest,
    makers: Arc<Mutex<Makers>>,
    digest: Digest,
    by: Reference,
    refusal: PullRefusal,
    /// Where compressed bytes are kept. Nowhere once they were used if another registry's pull writes the file that
    /// stays.
    file: Option<Arc<NamedPart>>,
    _blob: KeyedGuard,
    /// Last, so that the lock is free when it tells.
    _ended: NotifyOnDrop,
}

/// The right to the file that stays.
struct NamedPart {
    path: PathBuf,
    _guard: KeyedGuard,
    /// Last, so that the lock is free when it tells.
    _ended: NotifyOnDrop,
}

impl Partials {
    pub(super) fn new(config: &Config, ingest: Ingest) -> Self {
        Self {
            ingest,
            blobs: KeyedLock::default(),
            files: Arc::default(),
            keep: Keep { age: config.partial.keep, bytes: config.partial.max_bytes },
            makers: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// Waits until nobody else works on this blob of the reference's registry.
    pub(super) async fn lock(&self, by: &Reference, refusal: &PullRefusal, blob: &Digest) -> Partial {
        let ended = || NotifyOnDrop(Arc::clone(&self.ended));
        let (own_ended, file_ended) = (ended(), ended());
        let own = self.blobs.lock(&(by.registry.clone(), blob.clone())).await;
        let file = match self.files.try_lock(blob) {
            Some(guard) => {
                let path = self.path(blob);
                let file = Arc::new(NamedPart { path, _guard: guard, _ended: file_ended });
                // Before it is made: whoever makes it may be given up meanwhile.
                let found = Arc::clone(&file);
                let is_empty = tokio::task::spawn_blocking(move || !found.path.exists()).await.unwrap_or_default();
                lock(&self.makers).take_up(blob, by, is_empty);
                Some(file)
            }
            None => None,
        };
        let (by, refusal) = (by.clone(), refusal.clone());
        let (ingest, makers) = (self.ingest.clone(), Arc::clone(&self.makers));
        Partial { ingest, makers, digest: blob.clone(), by, refusal, file, _blob: own, _ended: own_ended }
    }

    /// Drops partial blobs that are too many, now and then and whenever a fetch ends. Ends with its owner.
    pub(super) fn keep_in_bounds(&self) -> impl Future<Output = ()> + use<> {
        let (dir, keep, ended) = (self.ingest.path().to_owned(), self.keep, Arc::clone(&self.ended));
        let (files, makers) = (Arc::downgrade(&self.files), Arc::clone(&self.makers));
        async move {
            while let Some(files) = files.upgrade() {
                let (own, makers) = (dir.clone(), Arc::clone(&makers));
                let look = move || {
                    drop_condemned(&own, &files, &makers);
                    prune(&own, &files, &makers, keep)
                };
                if let Ok(Err(error)) = tokio::task::spawn_blocking(look).await {
                    tracing::warn!(%error, path = %dir.display(), "partial blobs can't be listed");
                }
                let _ = tokio::time::timeout(PARTIAL_LOOK, ended.notified()).await;
            }
        }
    }

    /// Drops what an image's pulls alone have brought of its blobs, which is of no use: the image was refused. If
    /// somebody works on one, be it a cancelled transfer that has yet to let go, that is when he is done, unless
    /// somebody takes it up before.
    pub(super) fn discard<'b>(&self, by: &Reference, refusal: &PullRefusal, blobs: impl Iterator<Item = &'b Digest>) {
        // First: who takes one up from here on for the same pull condemns it by himself.
        refusal.refuse();
        let mut makers = lock(&self.makers);
        if blobs.filter(|blob| makers.condemn(blob, by)).count() > 0 {
            self.ended.notify_one();
        }
    }

    fn path(&self, blob: &Digest) -> PathBuf {
        path_of(self.ingest.path(), blob)
    }
}

impl Drop for Partials {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}

impl Partial {
    /// The file, or the directory that it has no name in; for errors.
    pub(super) fn path(&self) -> &Path {
        self.file.as_ref().map_or(self.ingest.path(), |file| &file.path)
    }

    /// Opens the file and says how much of the blob is there; more than there can be is worth nothing.
    pub(super) async fn open(&self, size: u64) -> io::Result<(Arc<File>, u64)> {
        // With the right to it: who has been given up may yet make it.
        let (named, ingest) = (self.file.clone(), self.ingest.clone());
        let open = tokio::task::spawn_blocking(move || match named {
            Some(file) => resume(&file.path, size),
            None => Ok((ingest.unnamed()?, 0)),
        });
        let (file, position) = open.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
        Ok((Arc::new(file), position))
    }

    /// Removes the file: its bytes have no further use.
    pub(super) fn forget(&self) {
        if let Some(file) = &self.file {
            forget(&file.path);
            lock(&self.makers).forget(&self.digest);
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.refusal.is_refused() {
            lock(&self.makers).condemn(&self.digest, &self.by);
        }
    }
}

/// Tells when it is dropped.
struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn path_of(ingest: &Path, blob: &Digest) -> PathBuf {
    ingest.join(format!("{}.part", blob.hex()))
}

fn resume(path: &Path, size: u64) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut length = file.metadata()?.len();
    if length > size {
        file.set_len(0)?;
        length = 0;
    }
    Ok((file, length))
}

fn forget(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a partial blob can't be removed");
    }
}

/// What partial blobs may cost.
#[derive(Clone, Copy, Debug)]
struct Keep {
    age: Duration,
    bytes: u64,
}

struct PartialFile {
    path: PathBuf,
    digest: Digest,
    age: Duration,
    /// On disk.
    bytes: u64,
}

/// Drops what is of no use, unless somebody works on it. Blocks.
fn drop_condemned(ingest: &Path, files: &KeyedLock<Digest>, makers: &Mutex<Makers>) {
    let condemned = lock(makers).condemned();
    for blob in condemned {
        // With the right to it nobody takes it up any more.
        if let Some(_guard) = files.try_lock(&blob)
            && lock(makers).is_condemned(&blob)
        {
            forget(&path_of(ingest, &blob));
            lock(makers).forget(&blob);
        }
    }
}

/// Drops what is too old, and the oldest of what is too much. What somebody works on stays. Blocks.
fn prune(ingest: &Path, files: &KeyedLock<Digest>, makers: &Mutex<Makers>, keep: Keep) -> io::Result<()> {
    let mut partials = Vec::new();
    for entry in std::fs::read_dir(ingest)? {
        let path = entry?.path();
        let Some(digest) =
            path.file_name().and_then(|name| name.to_str()?.strip_suffix(".part")).and_then(Digest::from_hex)
        else {
            continue;
        };
        // It may have been finished since it was listed.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        partials.push(PartialFile { path, digest, age, bytes: metadata.blocks() * 512 });
    }
    partials.sort_by_key(|partial| partial.age);
    let mut total: u64 = 0;
    for partial in partials {
        let Some(_guard) = files.try_lock(&partial.digest) else { continue };
        total = total.saturating_add(partial.bytes);
        if partial.age > keep.age || total > keep.bytes {
            total -= partial.bytes;
            forget(&partial.path);
            lock(makers).forget(&partial.digest);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Keep, KeyedLock, Makers, Partials, PullRefusal, drop_condemned, path_of, prune};
    use crate::config::Config;
    use crate::digest::Digest;
    use crate::reference::Reference;
    use crate::scratch::Ingest;
    use peapod_sys::Trash;
    use std::fs::{File, FileTimes};
    use std::sync::Mutex;
    use std::time::{Duration, SystemTime};

    #[tokio::test]
    async fn what_is_of_no_use_goes_when_nobody_works_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let [used, free, missing] = [1, 2, 3].map(|number| Digest::of(&[number]));
        let is_there = |blob| path_of(dir.path(), blob).exists();
        for blob in [&used, &free] {
            std::fs::write(path_of(dir.path(), blob), "part").unwrap();
        }
        let (files, makers) = (KeyedLock::default(), Mutex::new(Makers::default()));
        let by = Reference::parse("registry.example/refused:1", "docker.io").unwrap();
        for blob in [&used, &free, &missing] {
            makers.lock().unwrap().take_up(blob, &by, true);
            makers.lock().unwrap().condemn(blob, &by);
        }
        let guard = files.lock(&used).await;
        drop_condemned(dir.path(), &files, &makers);
        assert!(is_there(&used) && !is_there(&free));
        drop(guard);
        drop_condemned(dir.path(), &files, &makers);
        assert!(!is_there(&used) && makers.lock().unwrap().condemned().is_empty());
        // Taken up in between.
        std::fs::write(path_of(dir.path(), &used), "part").unwrap();
        makers.lock().unwrap().take_up(&used, &by, true);
        makers.lock().unwrap().condemn(&used, &by);
        makers.lock().unwrap().take_up(&used, &by, false);
        drop_condemned(dir.path(), &files, &makers);
        assert!(is_there(&used));
    }

    #[tokio::test]
    async fn what_is_taken_up_for_a_pull_that_was_refused_meanwhile_goes() {
        let dir = tempfile::tempdir().unwrap();
        let trash = Trash::open(dir.path().join("trash"), |_, _| {}).unwrap();
        std::fs::create_dir(dir.path().join("ingest")).unwrap();
        let config = Config::new(dir.path().to_owned());
        let partials = Partials::new(&config, Ingest::new(dir.path(), trash));
        let (blob, refusal) = (Digest::of(b"a"), PullRefusal::default());
        let by = Reference::parse("registry.example/refused:1", "docker.io").unwrap();
        partials.discard(&by, &refusal, [&blob].into_iter());
        let part = partials.lock(&by, &refusal, &blob).await;
        part.open(1).await.unwrap();
        drop_condemned(partials.ingest.path(), &partials.files, &partials.makers);
        assert!(partials.path(&blob).exists(), "somebody works on it");
        drop(part);
        drop_condemned(partials.ingest.path(), &partials.files, &partials.makers);
        assert!(!partials.path(&blob).exists());
        // Another pull of it is refused nothing.
        let part = partials.lock(&by, &PullRefusal::default(), &blob).await;
        part.open(1).await.unwrap();
        drop(part);
        drop_condemned(partials.ingest.path(), &partials.files, &partials.makers);
        assert!(partials.path(&blob).exists());
    }

    #[tokio::test]
    async fn the_youngest_stay_and_those_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let digest = |number: u8| Digest::of(&[number]);
        let path = |number: u8| dir.path().join(format!("{}.part", digest(number).hex()));
        for number in 0..6 {
            std::fs::write(path(number), vec![1; 8192]).unwrap();
            let then = SystemTime::now() - Duration::from_secs(100 * u64::from(number));
            File::options()
                .write(true)
                .open(path(number))
                .unwrap()
                .set_times(FileTimes::new().set_modified(then))
                .unwrap();
        }
        std::fs::create_dir(dir.path().join("scratch")).unwrap();
        let (files, makers) = (KeyedLock::default(), Mutex::new(Makers::default()));
        let guard = files.lock(&digest(5)).await;
        let left = || (0..6).filter(|number| path(*number).exists()).collect::<Vec<_>>();
        prune(dir.path(), &files, &makers, Keep { age: Duration::from_secs(350), bytes: 1 << 20 }).unwrap();
        assert_eq!(left(), [0, 1, 2, 3, 5]);
        prune(dir.path(), &files, &makers, Keep { age: Duration::from_secs(350), bytes: 2 * 8192 }).unwrap();
        assert_eq!(left(), [0, 1, 5]);
        drop(guard);
        prune(dir.path(), &files, &makers, Keep { age: Duration::from_secs(350), bytes: 0 }).unwrap();
        assert!(left().is_empty() && dir.path().join("scratch").exists());
    }
}
