//! CheckpointContainer: the shim pauses the container and has the OCI runtime write its processes; what it had changed
//! of its image is copied at that moment; it runs on, and all of it becomes an archive.
//!
//! Whatever ends this early, the container runs on and nothing is left: after an error at once, of a client that leaves
//! as soon as CRIU has come to its end (killed in the middle, it could take the container with it), and of a daemon
//! that dies with the next one (`left`).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peapod_cgroup::StatsPart;
use peapod_image::{Cancelled, ImageId, Rootfs, UnpackLimits, write_changes};
use peapod_sys::fail_point;
use peapod_trace::Span;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::documents::{ConfigDump, deleted, spec, status};
use super::place::{ArchivePlace, WatchedFile};
use super::work::CheckpointWork;
use super::{CHANGES, CONFIG_DUMP, DELETED, IMAGES, archive, criu, left, writing};
use crate::bounds::CONFIG_BYTES;
use crate::clock;
use crate::container::{ContainerOperations, made_by};
use crate::disk;
use crate::error::Error;
use crate::read;
use crate::shim::{CheckpointCalls, Shim, ShimError};
use crate::stages;
use crate::view::{ContainerView, PodView};

/// What is to be written where.
#[derive(Clone, Debug)]
pub struct CheckpointRequest {
    /// Absolute path of the archive; its folder has to be there.
    pub location: PathBuf,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// A running container that is to be written.
pub(crate) struct ContainerCapture<'a> {
    pub(crate) containers: &'a Arc<ContainerOperations>,
    /// Owner of what an abandoned call leaves to be done.
    pub(crate) leftovers: &'a TaskTracker,
    /// True once the daemon ends: the next one does the rest then.
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) shim: Arc<Shim>,
    pub(crate) pod: &'a PodView,
    pub(crate) container: Arc<ContainerView>,
    pub(crate) span: &'a Span,
}

/// Writes a running container into an archive; it runs on. After an error nothing of it is left.
pub(crate) async fn capture(capture: ContainerCapture<'_>, request: &CheckpointRequest) -> Result<(), Error> {
    let began = tokio::time::Instant::now();
    let outcome = tokio::time::timeout(request.timeout, write(&capture, request)).await;
    outcome.unwrap_or_else(|_| Err(Error::CheckpointTimeout(began.elapsed())))
}

async fn write(capture: &ContainerCapture<'_>, request: &CheckpointRequest) -> Result<(), Error> {
    let written = UnfinishedCheckpoint::begin(capture, &request.location, &[], CheckpointWork::default()).await?;
    written.write_processes(request.timeout).await?;
    written.copy_files().await?;
    written.resume().await?;
    written.write_archive().await?;
    written.finish().await
}

fn refusal(error: ShimError, container: &ContainerView, step: &'static str) -> Error {
    match error {
        ShimError::Unsupported(_) => Error::Precondition {
            what: "container",
            id: container.id.to_string(),
            state: "run by the shim of an earlier version of peapod".to_owned(),
            need: "a checkpoint needs a newer one: make the pod anew",
        },
        other => other.of_running(&container.id, step),
    }
}

/// Whether there is room for what CRIU writes of all of them together, as far as the node tells: it looks at no disk
/// itself.
pub(super) async fn has_room(captures: &[ContainerCapture<'_>]) -> Result<(), Error> {
    let Some(ContainerCapture { containers, .. }) = captures.first() else { return Ok(()) };
    let group = |capture: &ContainerCapture<'_>| containers.cgroups.cgroup(&capture.container.cgroup).ok();
    let (layout, groups) = (Arc::clone(&containers.layout), captures.iter().filter_map(group).collect::<Vec<_>>());
    let look = tokio::task::spawn_blocking(move || {
        let stats = groups.iter().filter_map(|group| group.open().stats(StatsPart::Usage).ok());
        disk::has_room_for(&layout, stats.map(|stats| stats.on_no_disk()).fold(0, u64::saturating_add))
    });
    look.await.map_err(|panic| Error::failed("look for room for a checkpoint", &panic))?
}

/// The layers below what the container writes, which it has leased since it was made.
async fn rootfs(containers: &ContainerOperations, container: &ContainerView) -> Result<Rootfs, Error> {
    let image = ImageId::parse(&container.image_id);
    let image = image.ok_or_else(|| Error::ImageNotFound(container.image_name.clone()))?;
    let leased = containers.images.lease(&image, container.id.as_str()).await;
    leased.map_err(|error| Error::failed("find the image's layers", &error))
}

fn copy_changes(
    folder: &Path,
    upper: &Path,
    rootfs: &Rootfs,
    limits: UnpackLimits,
    cancelled: Cancelled,
) -> io::Result<()> {
    let file = std::fs::File::create_new(folder.join(CHANGES))?;
    // A file with holes has all its zeros in the archive.
    let file = WatchedFile::new(file, limits, cancelled.clone());
    let gone = write_changes(upper, rootfs, limits, cancelled, io::BufWriter::with_capacity(1 << 20, file))?;
    std::fs::write(folder.join(DELETED), deleted(&gone)?)
}

async fn documents(
    pod: &PodView,
    container: &ContainerView,
    runtime: &Path,
) -> Result<Vec<(&'static str, Vec<u8>)>, Error> {
    let file = container.bundle.join("config.json");
    let config = blocking("read the container's configuration", move || read::whole(&file, CONFIG_BYTES)).await?;
    let damaged = || Error::Failed {
        step: "read the container's configuration".to_owned(),
        reason: "it is no JSON object".to_owned(),
    };
    let name = runtime.file_name().unwrap_or_default().to_string_lossy();
    let dump = serde_json::to_vec(&ConfigDump::of(container, &name, clock::now()));
    Ok(vec![
        (CONFIG_DUMP, dump.map_err(|error| Error::failed("describe the container", &error))?),
        ("spec.dump", spec(&config, pod, container).ok_or_else(damaged)?),
        ("status", status(container).to_string().into_bytes()),
    ])
}

async fn blocking<T: Send + 'static>(
    step: impl Into<String>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let step = step.into();
    let done = tokio::task::spawn_blocking(work).await.map_err(|panic| Error::failed(step.clone(), &panic))?;
    done.map_err(|error| Error::failed(step, &error))
}

/// What is there of a checkpoint on its way, which goes when this is dropped.
pub(super) struct UnfinishedCheckpoint<'a> {
    capture: &'a ContainerCapture<'a>,
    /// Of the container.
    runtime: PathBuf,
    folder: PathBuf,
    place: ArchivePlace,
    work: CheckpointWork,
    finished: bool,
}

impl<'a> UnfinishedCheckpoint<'a> {
    /// Makes the folder, which is there once: who finds it leaves the container to whom has made it. With the archive's
    /// neighbour, `with` goes, too, if this comes to nothing.
    pub(super) async fn begin(
        capture: &'a ContainerCapture<'a>,
        location: &Path,
        with: &[PathBuf],
        work: CheckpointWork,
    ) -> Result<Self, Error> {
        let ContainerCapture { containers, container, span, .. } = capture;
        span.enter(&stages::CHECKPOINT_ROOM);
        let runtime = made_by::program(&container.bundle).await.unwrap_or_default();
        criu::check(&runtime, containers.runtimes.features(&runtime).await, "a checkpoint")?;
        let (layout, id) = (Arc::clone(&containers.layout), container.id.clone());
        let (location, mut left) = (location.to_owned(), with.to_vec());
        has_room(std::slice::from_ref(capture)).await?;
        let begun = tokio::task::spawn_blocking(move || {
            let (place, folder) = (ArchivePlace::find(&location, id.as_str())?, writing(&layout.writable(&id)));
            left.push(place.neighbour().to_owned());
            match make(&folder, &left) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::Precondition {
                    what: "container",
                    id: id.to_string(),
                    state: "being written by another checkpoint".to_owned(),
                    need: "there is one at a time: wait for it",
                }),
                Err(error) => Err(Error::failed(format!("make {}", folder.display()), &error)),
                // Who has left by now does not get it.
                Ok(made) => Ok((place, made)),
            }
        });
        let (place, made) = begun.await.map_err(|panic| Error::failed("make room for a checkpoint", &panic))??;
        fail_point("checkpoint-begun");
        Ok(Self { capture, runtime, folder: made.keep(), place, work, finished: false })
    }

    /// Pauses the container, which the next step does otherwise: for several at a time.
    pub(super) async fn pause(&self, limit: Duration) -> Result<(), Error> {
        let container = &self.capture.container;
        let paused = CheckpointCalls(&self.capture.shim).pause(container.id.as_str(), limit).await;
        paused.map_err(|error| refusal(error, container, "pause the container"))?;
        fail_point("checkpoint-waits");
        Ok(())
    }

    /// The OCI runtime has CRIU write the container's processes; it stays paused.
    pub(super) async fn write_processes(&self, timeout: Duration) -> Result<(), Error> {
        let ContainerCapture { container, span, shim, .. } = self.capture;
        span.enter_on(&stages::RUNTIME_CHECKPOINT, self.runtime.file_name().unwrap_or_default().to_string_lossy());
        let (images, notes) = (self.folder.join(IMAGES), self.folder.join("dump.log"));
        let written = CheckpointCalls(shim).checkpoint(container.id.as_str(), &images, &self.folder, timeout).await;
        written.map_err(|error| criu::explain(refusal(error, container, "write the container"), &notes))?;
        fail_point("checkpoint-paused");
        Ok(())
    }

    /// Copies what the container has changed of its image.
    pub(super) async fn copy_files(&self) -> Result<(), Error> {
        let ContainerCapture { containers, container, span, .. } = self.capture;
        span.enter(&stages::CHECKPOINT_FILES);
        let rootfs = rootfs(containers, container).await?;
        let (folder, upper, limits) = (self.folder.clone(), container.upper.clone(), containers.images.config().limits);
        let copy = move |cancelled| copy_changes(&folder, &upper, &rootfs, limits, cancelled);
        self.work.run("copy the container's files", copy).await
    }

    /// Lets the container go on. One that runs by itself was paused for too long: its files are those of no one moment.
    pub(super) async fn resume(&self) -> Result<(), Error> {
        let container = &self.capture.container;
        let resumed = CheckpointCalls(&self.capture.shim).resume(container.id.as_str()).await;
        resumed.map_err(|error| error.of_running(&container.id, "let the container go on"))?;
        fail_point("checkpoint-resumed");
        Ok(())
    }

    /// Makes all of that an archive in its place.
    pub(super) async fn write_archive(&self) -> Result<(), Error> {
        let ContainerCapture { containers, container, span, pod, .. } = self.capture;
        span.enter(&stages::CHECKPOINT_ARCHIVE);
        let documents = documents(pod, container, &self.runtime).await?;
        let limits = containers.images.config().limits;
        let (folder, place) = (self.folder.clone(), self.place.clone());
        let at = u64::try_from(clock::now() / 1_000_000_000).unwrap_or(0);
        let step = format!("write {}", place.location().display());
        let write = move |cancelled: Cancelled| {
            place.write(limits, &cancelled, |to| archive::write(&folder, &documents, at, to))
        };
        self.work.run(step, write).await
    }

    /// From here on the archive stays, and what was to go with it, whatever becomes of the rest.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        let folder = self.folder.clone();
        self.work.run("finish the checkpoint", move |_| left::forget(&folder)).await?;
        fail_point("checkpoint-finished");
        self.finished = true;
        let (trash, container) = (self.capture.containers.trash.clone(), self.capture.container.id.short());
        if let Err(error) = crate::dir::remove(&trash, self.folder.clone()).await {
            tracing::warn!(container, %error, "the next checkpoint of this container is refused until peapod starts again");
        }
        Ok(())
    }
}

fn make(folder: &Path, left: &[PathBuf]) -> io::Result<MadeFolder> {
    let private = |path: &Path| DirBuilder::new().mode(0o700).create(path);
    private(folder)?;
    let made = MadeFolder(folder.to_owned());
    left::write_down(folder, left)?;
    private(&folder.join(IMAGES))?;
    Ok(made)
}

/// A new folder, which goes when this is dropped and nobody has kept it. Blocks then: there is little in it.
#[derive(Debug)]
struct MadeFolder(PathBuf);

impl MadeFolder {
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for MadeFolder {
    fn drop(&mut self) {
        if self.0 != Path::new("")
            && let Err(error) = peapod_sys::remove_tree(&self.0)
        {
            tracing::warn!(folder = %self.0.display(), %error, "the folder of a checkpoint stays");
        }
    }
}

impl Drop for UnfinishedCheckpoint<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let (shim, id) = (Arc::clone(&self.capture.shim), self.capture.container.id.clone());
        let (trash, folder) = (self.capture.containers.trash.clone(), std::mem::take(&mut self.folder));
        let (mut closing, running) = (self.capture.closing.clone(), self.work.running());
        self.capture.leftovers.spawn(async move {
            tokio::select! {
                () = left::end(&shim, &id, &trash, folder, &running) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_takes_goes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("checkpoint");
        drop(make(&folder, &[]).unwrap());
        assert!(!folder.exists());
        assert_eq!(make(&folder, &[]).unwrap().keep(), folder);
        assert!(folder.join(IMAGES).is_dir());
        // That of another one is left alone.
        assert_eq!(make(&folder, &[]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert!(folder.join(IMAGES).is_dir());
    }
}
