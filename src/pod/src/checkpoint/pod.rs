//! CheckpointPod: containers of a pod are paused together, written one after the other, and go on together; then their
//! archives are made, in a folder that was empty. The last of all is the list of them: a folder without it is no
//! checkpoint.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use peapod_image::{Cancelled, UnpackLimits};
use peapod_text::excerpt;
use serde::{Deserialize, Serialize};

use super::capture::{ContainerCapture, UnfinishedCheckpoint, has_room};
use super::place::ArchivePlace;
use super::work::CheckpointWork;
use crate::bounds::{CHECKPOINT_CONTAINERS, CHECKPOINT_DOCUMENT};
use crate::error::Error;
use crate::id::ContainerId;
use crate::read;

/// The list, as the field calls it.
const LIST: &str = "pod.options";
/// Of its form.
const VERSION: u32 = 1;

/// What is to be written where.
#[derive(Clone, Debug)]
pub struct PodCheckpointRequest {
    /// Absolute path of a folder that is there, and empty.
    pub folder: PathBuf,
    /// Containers of the pod that run; not empty, and none twice.
    pub containers: Vec<ContainerId>,
    /// How long all of it may take.
    pub timeout: Duration,
}

/// What a checkpoint of a pod has: archives by the names of their containers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PodCheckpointList {
    version: u32,
    /// The name of the archive, without its ending.
    containers: BTreeMap<String, String>,
}

/// Writes the containers; they run on. After an error nothing of it is left.
pub(crate) async fn capture_pod(
    captures: &[ContainerCapture<'_>],
    request: &PodCheckpointRequest,
) -> Result<(), Error> {
    let began = tokio::time::Instant::now();
    let outcome = tokio::time::timeout(request.timeout, write(captures, request)).await;
    outcome.unwrap_or_else(|_| Err(Error::CheckpointTimeout(began.elapsed())))
}

async fn write(captures: &[ContainerCapture<'_>], request: &PodCheckpointRequest) -> Result<(), Error> {
    let folder = request.folder.clone();
    let looked = tokio::task::spawn_blocking(move || check(&folder)).await;
    looked.map_err(|panic| Error::failed("look at the checkpoint's folder", &panic))??;
    let Some(first) = captures.first() else {
        return Err(Error::Invalid { field: "container_ids".to_owned(), reason: "there are none".to_owned() });
    };
    // Where the archives have found room there is room for their list.
    let limits = UnpackLimits { reserve_percent: 0, ..first.containers.images.config().limits };
    let list = list(captures)?;
    let place = ArchivePlace::find(&request.folder.join(LIST), "list")?;
    let (work, mut unfinished) = (CheckpointWork::default(), Vec::with_capacity(captures.len()));
    // All of it goes with what is left of the first, or stays once that is finished.
    let mut with: Vec<_> = list.containers.values().map(|name| archive(&request.folder, name)).collect();
    with.extend([place.location().to_owned(), place.neighbour().to_owned()]);
    has_room(captures).await?;
    for capture in captures {
        let name = &list.containers[&capture.container.spec.metadata.name];
        let location = archive(&request.folder, name);
        let with = std::mem::take(&mut with);
        unfinished.push(UnfinishedCheckpoint::begin(capture, &location, &with, work.clone()).await?);
    }
    for container in &unfinished {
        container.pause(request.timeout).await?;
    }
    for container in &unfinished {
        container.write_processes(request.timeout).await?;
        container.copy_files().await?;
    }
    for container in &unfinished {
        container.resume().await?;
    }
    for container in &unfinished {
        container.write_archive().await?;
    }
    let text = serde_json::to_vec(&list).map_err(|error| Error::failed("list the containers", &error))?;
    let step = format!("write {}", place.location().display());
    work.run(step, move |cancelled: Cancelled| place.write(limits, &cancelled, |to| to.write_all(&text))).await?;
    let mut unfinished = unfinished.into_iter();
    if let Some(first) = unfinished.next() {
        first.finish().await?;
    }
    for container in unfinished {
        // Its folder goes all the same.
        if let Err(error) = container.finish().await {
            tracing::warn!(%error, "part of a checkpoint is removed a moment later");
        }
    }
    Ok(())
}

fn archive(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.tar"))
}

fn list(captures: &[ContainerCapture<'_>]) -> Result<PodCheckpointList, Error> {
    let mut containers = BTreeMap::new();
    for capture in captures {
        let (id, name) = (&capture.container.id, &capture.container.spec.metadata.name);
        if containers.insert(name.clone(), id.to_string()).is_some() {
            let reason = format!("two of them have the name {}", excerpt(name));
            return Err(Error::Invalid { field: "container_ids".to_owned(), reason });
        }
    }
    Ok(PodCheckpointList { version: VERSION, containers })
}

/// Blocks.
fn check(folder: &Path) -> Result<(), Error> {
    let invalid = |reason: String| Error::Invalid { field: "output_path".to_owned(), reason };
    if !folder.is_absolute() {
        return Err(invalid(format!("{} is no absolute path", excerpt(folder))));
    }
    let mut entries = std::fs::read_dir(folder).map_err(|error| invalid(format!("{}: {error}", excerpt(folder))))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(invalid(format!("{} is not empty", excerpt(folder)))),
    }
}

/// The archive of each container in a pod's checkpoint, by its name. Blocks.
///
/// # Errors
/// When the folder is no such checkpoint.
pub fn archives(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let invalid = |reason: String| Error::Invalid { field: "checkpoint_path".to_owned(), reason };
    let shown = excerpt(folder);
    if !folder.is_absolute() {
        return Err(invalid(format!("{shown} is no absolute path")));
    }
    let limit = CHECKPOINT_DOCUMENT.saturating_mul(16);
    let text = read::whole(&folder.join(LIST), limit).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => invalid(format!("{shown} is no checkpoint of a pod: it has no file {LIST}")),
        _ => invalid(format!("{LIST} in {shown}: {error}")),
    })?;
    let list: PodCheckpointList =
        serde_json::from_slice(&text).map_err(|error| invalid(format!("{LIST} in {shown}: {error}")))?;
    if list.version != VERSION || list.containers.len() > CHECKPOINT_CONTAINERS {
        let reason =
            format!("{LIST} in {shown} is of another version, or has more than {CHECKPOINT_CONTAINERS} entries");
        return Err(invalid(reason));
    }
    let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match list.containers.values().find(|name| !is_name(name)) {
        Some(name) => Err(invalid(format!("{LIST} in {shown} names {}, which is none of its archives", excerpt(name)))),
        None => Ok(list.containers.into_iter().map(|(name, id)| (name, archive(folder, &id))).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_of_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            std::fs::write(dir.path().join(LIST), text).unwrap();
            archives(dir.path())
        };
        let found = of(r#"{"version":1,"containers":{"main":"abc0"},"annotations":{}}"#).unwrap();
        assert_eq!(found, [("main".to_owned(), dir.path().join("abc0.tar"))].into());
        for bad in [
            "",
            "{}",
            r#"{"version":2,"containers":{}}"#,
            r#"{"version":1,"containers":{"main":"../x"}}"#,
            r#"{"version":1,"containers":{"main":""}}"#,
        ] {
            let refused = of(bad).unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "checkpoint_path"), "{refused}");
        }
        std::fs::remove_file(dir.path().join(LIST)).unwrap();
        assert!(archives(dir.path()).unwrap_err().to_string().contains(LIST));
        archives(Path::new("relative")).unwrap_err();
    }

    #[test]
    fn the_folder_has_to_be_empty() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        std::fs::write(dir.path().join("x"), "").unwrap();
        for bad in [dir.path(), &dir.path().join("x"), &dir.path().join("none"), Path::new("relative")] {
            let refused = check(bad).unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "output_path"), "{refused}");
        }
    }
}
