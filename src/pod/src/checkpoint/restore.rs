//! Containers that are made of a checkpoint: CreateContainer takes it in, StartContainer has the OCI runtime carry it
//! on.
//!
//! All of a checkpoint's files are hostile: it is unpacked as layers are, and has files and folders alone. From
//! `config.dump` comes the name of the image whose layers the root file system has, and nothing else. Namespaces,
//! mounts and limits are the request's. Users, capabilities and filters of the processes are those of CRIU's images,
//! which nobody checks: that is why it is off, unless [`RestorePolicy`] says otherwise.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peapod_image::{
    Cancelled, ChangesError, DELETED_BYTES, Image, Images, Rootfs, UnpackLimits, apply_changes, unpack_files,
};
use peapod_sys::fail_point;
use peapod_text::excerpt;
use peapod_trace::Span;

use super::documents::{ConfigDump, parse_deleted};
use super::place::WatchedFile;
use super::{CHANGES, CONFIG_DUMP, DELETED, IMAGES, criu};
use crate::bounds::CHECKPOINT_DOCUMENT;
use crate::config::RestorePolicy;
use crate::container::ContainerContext;
use crate::error::Error;
use crate::id::ContainerId;
use crate::read;
use crate::stages;

/// Folder below that of the writable layer with what the container is to be made of.
pub(crate) const RESTORE: &str = "restore";
/// Where it is unpacked before.
const UNPACKED: &str = "restore.new";
/// The same of the writable layer.
const LAYER: &str = "upper.new";
/// Annotations of an image's manifest that tell that it is a checkpoint: as the field writes it today, and before.
const ANNOTATIONS: [&str; 2] =
    ["org.criu.checkpoint.container.name", "io.kubernetes.cri-o.annotations.checkpoint.name"];
/// Under what name the layers of an image with a checkpoint are leased.
const LEASE: &str = "checkpoint";

/// Where a checkpoint is taken from.
#[derive(Debug)]
pub(crate) enum CheckpointSource {
    Archive(PathBuf),
    Image(Arc<Image>),
}

/// What a request calls its image.
#[derive(Debug)]
pub(crate) enum ContainerBase {
    /// An image.
    Image(Arc<Image>),
    /// A checkpoint.
    Checkpoint(CheckpointSource),
}

/// Whether that is the path of an archive: no image is called so.
fn is_archive(name: &str) -> bool {
    name.starts_with('/')
}

/// Finds what the request calls its image.
pub(crate) fn find(images: &Images, policy: RestorePolicy, name: &str) -> Result<ContainerBase, Error> {
    let checkpoint = |source| match policy {
        RestorePolicy::Trusted => Ok(ContainerBase::Checkpoint(source)),
        RestorePolicy::Never => Err(off(name)),
    };
    if is_archive(name) {
        return checkpoint(CheckpointSource::Archive(name.into()));
    }
    let image = images.resolve(name).ok_or_else(|| Error::ImageNotFound(name.to_owned()))?;
    let is_checkpoint = ANNOTATIONS.iter().any(|annotation| image.annotations.contains_key(*annotation));
    match is_checkpoint {
        true => checkpoint(CheckpointSource::Image(image)),
        false => Ok(ContainerBase::Image(image)),
    }
}

fn off(name: &str) -> Error {
    let reason = "the processes would have the users and capabilities that stand in the checkpoint, whatever their pod \
                  may do. Where all checkpoints come from trusted hands, checkpoint.restore = \"trusted\" in peapod's \
                  configuration allows it";
    Error::Unsupported { what: "a container of a checkpoint", reason: format!("{}: {reason}", excerpt(name)) }
}

/// Takes a checkpoint in for a container that is being made, and answers the image whose layers it had.
pub(crate) async fn take(
    context: &ContainerContext,
    id: &ContainerId,
    source: CheckpointSource,
    span: &Span,
) -> Result<Arc<Image>, Error> {
    let containers = &context.containers;
    if context.pod.namespaces.users.is_some() {
        let reason = "a checkpoint's files belong to users of another pod: it can't be one with users of its own";
        return Err(Error::Invalid { field: "image".to_owned(), reason: reason.to_owned() });
    }
    let runtime = context.handler.runtime()?;
    criu::check(&runtime.path, context.handler.features().await, "a container of a checkpoint")?;
    span.enter(&stages::RESTORE_UNPACK);
    let writable = containers.layout.writable(id);
    let from = match source {
        CheckpointSource::Archive(path) => CheckpointFiles::Archive(path),
        CheckpointSource::Image(image) => {
            let leased = containers.images.lease_volume(&image.id, id.as_str(), LEASE).await;
            CheckpointFiles::Layers(leased.map_err(|error| Error::failed("keep the image", &error))?.lower_dirs)
        }
    };
    let limits = containers.images.config().limits;
    let taken = tokio::task::spawn_blocking(move || unpack(&from, &writable, limits));
    let dump = taken.await.map_err(|panic| Error::failed("unpack the checkpoint", &panic))??;
    fail_point("restore-taken");
    let image = image(&containers.images, &dump)?;
    let (container, image_id) = (id.short(), image.id.as_str());
    // Whoever may pull it: who asks why has to find it.
    tracing::info!(container, image_id, "a container is made of a checkpoint, and of the image that this one names");
    Ok(image)
}

/// The image that a checkpoint names. An id chooses none, so that who knows one can't have what has no name on this
/// node any more; it only tells whether the name still means the same.
fn image(images: &Images, dump: &ConfigDump) -> Result<Arc<Image>, Error> {
    let named = |name: &str| images.resolve(name).filter(|image| !image.id.begins_with(name));
    let Some(image) = dump.image_names().find_map(named) else {
        let why = || damaged(format!("its {CONFIG_DUMP} names no image: an id alone is no name"));
        return Err(dump.image_names().last().map_or_else(why, |name| Error::ImageNotFound(name.to_owned())));
    };
    match dump.image_id() {
        Some(id) if id != image.id => {
            let names: Vec<_> = dump.image_names().map(|name| excerpt(name).to_string()).collect();
            let (names, now) = (names.join(", "), &image.id);
            let reason = format!("its {CONFIG_DUMP} says that {names} is {id}, which is {now} now: pull what it was");
            Err(damaged(reason))
        }
        _ => Ok(image),
    }
}

/// Where its files are.
enum CheckpointFiles {
    Archive(PathBuf),
    /// The top one first.
    Layers(Vec<PathBuf>),
}

fn damaged(reason: String) -> Error {
    Error::Invalid { field: "image".to_owned(), reason }
}

/// Puts the checkpoint's files into the folder, and reads what it says of its container. Blocks.
fn unpack(from: &CheckpointFiles, writable: &Path, limits: UnpackLimits) -> Result<ConfigDump, Error> {
    let failed = |error: io::Error| Error::failed("unpack the checkpoint", &error);
    let new = writable.join(UNPACKED);
    std::fs::create_dir_all(&new).map_err(failed)?;
    let root = match from {
        CheckpointFiles::Archive(path) => {
            let archive = open(path).map_err(|error| damaged(format!("{}: {error}", excerpt(path))))?;
            unpack_files(archive, limits, &new).map_err(|error| refused(path, &error))?;
            new.join("diff")
        }
        CheckpointFiles::Layers(layers) => {
            let (layer, root) = (layers.iter().find(|layer| layer.join(CONFIG_DUMP).is_file()), new.join("diff"));
            let layer = layer.ok_or_else(|| damaged(format!("none of its layers has a file {CONFIG_DUMP}")))?;
            copy(layer, &root, limits)?;
            root
        }
    };
    let dump = read::whole(&root.join(CONFIG_DUMP), CHECKPOINT_DOCUMENT);
    let dump = dump.map_err(|error| damaged(format!("its {CONFIG_DUMP} can't be read: {error}")))?;
    let dump = serde_json::from_slice(&dump).map_err(|error| damaged(format!("its {CONFIG_DUMP}: {error}")))?;
    if !root.join(IMAGES).join("inventory.img").is_file() {
        return Err(damaged(format!("it has no file {IMAGES}/inventory.img, with which files of CRIU's begin")));
    }
    std::fs::rename(&root, writable.join(RESTORE)).map_err(failed)?;
    peapod_sys::remove_tree(&new).map_err(|error| failed(io::Error::other(error)))?;
    Ok(dump)
}

/// Never waits for a writer, and follows links: who makes containers may name any file.
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

fn refused(path: &Path, error: &ChangesError) -> Error {
    let is_ours = matches!(error, ChangesError::Disk { .. });
    if is_ours { Error::failed("unpack the checkpoint", error) } else { damaged(format!("{}: {error}", excerpt(path))) }
}

/// Copies the files of a checkpoint out of a layer of an image, and nothing else of it, as long as the disk keeps its
/// reserve.
fn copy(layer: &Path, to: &Path, limits: UnpackLimits) -> Result<(), Error> {
    let failed = |error: io::Error| Error::failed("copy the checkpoint", &error);
    let copy = |from: &Path, to: &Path| -> io::Result<()> {
        let copy = WatchedFile::new(File::create_new(to)?, limits, Cancelled::default());
        let mut copy = io::BufWriter::with_capacity(1 << 20, copy);
        io::copy(&mut File::open(from)?, &mut copy)?;
        copy.flush()
    };
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
    std::fs::create_dir_all(to.join(IMAGES)).map_err(failed)?;
    for name in [CONFIG_DUMP, CHANGES, DELETED].into_iter().filter(|name| is_file(&layer.join(name))) {
        copy(&layer.join(name), &to.join(name)).map_err(failed)?;
    }
    let images = layer.join(IMAGES);
    if !images.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Ok(());
    }
    for image in std::fs::read_dir(images).map_err(failed)? {
        let image = image.map_err(failed)?;
        if is_file(&image.path()) {
            copy(&image.path(), &to.join(IMAGES).join(image.file_name())).map_err(failed)?;
        }
    }
    Ok(())
}

/// CRIU's files of a container that is made of a checkpoint and was not started yet.
pub(crate) fn images(writable: &Path) -> Option<PathBuf> {
    Some(writable.join(RESTORE).join(IMAGES)).filter(|images| images.is_dir())
}

/// Makes the writable layer of what the checkpoint says was changed. Blocks.
pub(crate) fn lay_out(writable: &Path, rootfs: &Rootfs, limits: UnpackLimits) -> Result<(), Error> {
    let (restore, new) = (writable.join(RESTORE), writable.join(LAYER));
    let failed = |error: io::Error| Error::failed("lay out the checkpoint's files", &error);
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let most = u64::try_from(DELETED_BYTES).unwrap_or(u64::MAX);
    let deleted = match read::whole(&restore.join(DELETED), most) {
        Ok(text) => parse_deleted(&text).map_err(|error| damaged(format!("its {DELETED}: {error}")))?,
        Err(error) if absent(&error) => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    let changes = match open(&restore.join(CHANGES)) {
        Ok(changes) => Some(changes),
        Err(error) if absent(&error) => None,
        Err(error) => return Err(failed(error)),
    };
    peapod_sys::remove_tree(&new).map_err(|error| failed(io::Error::other(error)))?;
    std::fs::create_dir_all(&new).map_err(failed)?;
    apply_changes(&deleted, changes, rootfs, limits, &new).map_err(|error| refused(Path::new(CHANGES), &error))?;
    let upper = writable.join("upper");
    peapod_sys::remove_tree(&upper).map_err(|error| failed(io::Error::other(error)))?;
    std::fs::rename(new.join("diff"), &upper).map_err(failed)?;
    peapod_sys::remove_tree(&new).map_err(|error| failed(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> UnpackLimits {
        peapod_image::Config::new("/".into()).limits
    }

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    const DUMP: (&str, &str) = ("config.dump", r#"{"rootfsImageName": "base"}"#);
    const INVENTORY: (&str, &str) = ("checkpoint/inventory.img", "x");

    fn take(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<ConfigDump, Error>) {
        let dir = tempfile::tempdir().unwrap();
        let (file, writable) = (dir.path().join("a.tar"), dir.path().join("writable"));
        std::fs::write(&file, archive(files)).unwrap();
        let taken = unpack(&CheckpointFiles::Archive(file), &writable, limits());
        (dir, taken)
    }

    #[test]
    fn an_archive_is_taken_in() {
        let (dir, dump) = take(&[DUMP, INVENTORY, ("rootfs-diff.tar", "x"), ("spec.dump", "{}")]);
        assert_eq!(dump.unwrap().image_names().collect::<Vec<_>>(), ["base"]);
        let writable = dir.path().join("writable");
        assert!(images(&writable).unwrap().join("inventory.img").is_file());
        assert_eq!(std::fs::read_dir(&writable).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_checkpoint_is_refused_by_name() {
        for (files, word) in [
            (&[INVENTORY][..], "config.dump"),
            (&[DUMP], "inventory.img"),
            (&[("config.dump", "no"), INVENTORY], "config.dump"),
            (&[], "config.dump"),
        ] {
            let refused = take(files).1.unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "image"), "{refused}");
            assert!(refused.to_string().contains(word), "{refused}");
        }
        let large = "x".repeat(usize::try_from(CHECKPOINT_DOCUMENT).unwrap() + 1);
        assert!(take(&[("config.dump", &large), INVENTORY]).1.unwrap_err().to_string().contains("more than"));
        let dir = tempfile::tempdir().unwrap();
        for bad in [Path::new("/nonexistent/a.tar"), dir.path()] {
            let refused = unpack(&CheckpointFiles::Archive(bad.to_owned()), dir.path(), limits()).unwrap_err();
            assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
        }
    }

    #[test]
    fn of_an_image_files_of_a_checkpoint_are_taken_and_no_links() {
        let dir = tempfile::tempdir().unwrap();
        let (layer, writable) = (dir.path().join("layer"), dir.path().join("writable"));
        std::fs::create_dir_all(layer.join(IMAGES)).unwrap();
        for (name, text) in [DUMP, INVENTORY] {
            std::fs::write(layer.join(name), text).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", layer.join("checkpoint/pages-1.img")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", layer.join(DELETED)).unwrap();
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        let layers = CheckpointFiles::Layers(vec![empty, layer]);
        let full = UnpackLimits { reserve_percent: 100, ..limits() };
        let refused = unpack(&layers, &dir.path().join("full"), full).unwrap_err().to_string();
        assert!(refused.contains("image.disk_reserve_percent"), "{refused}");
        unpack(&layers, &writable, limits()).unwrap();
        let restore = writable.join(RESTORE);
        assert!(!restore.join(DELETED).exists() && !restore.join("checkpoint/pages-1.img").exists());
    }

    #[test]
    fn the_writable_layer_is_what_was_changed() {
        let (dir, dump) = take(&[DUMP, INVENTORY, ("deleted.files", "[\"etc/gone\"]")]);
        dump.unwrap();
        let (writable, lower) = (dir.path().join("writable"), dir.path().join("lower"));
        std::fs::create_dir_all(lower.join("etc")).unwrap();
        std::fs::write(writable.join("restore/rootfs-diff.tar"), archive(&[("etc/new", "n")])).unwrap();
        let rootfs = Rootfs { lower_dirs: vec![lower] };
        // Once more after a start that was taken back.
        for _ in 0..2 {
            lay_out(&writable, &rootfs, limits()).unwrap();
            let upper = writable.join("upper");
            assert_eq!(std::fs::read_to_string(upper.join("etc/new")).unwrap(), "n");
            assert!(upper.join("etc/gone").symlink_metadata().is_ok());
        }
        std::fs::write(writable.join("restore/deleted.files"), "{}").unwrap();
        assert!(lay_out(&writable, &rootfs, limits()).unwrap_err().to_string().contains("deleted.files"));
    }
}
