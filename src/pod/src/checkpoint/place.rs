//! Where an archive is written: to a neighbour of its place, which becomes it at the end. Whatever a link there leads
//! to stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use peapod_image::{Cancelled, UnpackLimits};

use crate::error::Error;

/// The beginning of a neighbour's name.
const PREFIX: &str = ".peapod-checkpoint-";
/// Bytes between two looks at the disk.
const LOOK: u64 = 16 << 20;

/// Where an archive is to be, and where it is written.
#[derive(Clone, Debug)]
pub(super) struct ArchivePlace {
    location: PathBuf,
    neighbour: PathBuf,
}

impl ArchivePlace {
    /// Looks at the folder, which has to be there; makes nothing yet. Blocks.
    pub(super) fn find(location: &Path, id: &str) -> Result<Self, Error> {
        let invalid = |reason: String| Error::Invalid { field: "location".to_owned(), reason };
        let name = location.file_name().filter(|_| location.is_absolute());
        let Some((folder, _)) = location.parent().zip(name) else {
            return Err(invalid(format!("{} is no absolute path of a file", location.display())));
        };
        let what = |error: &io::Error| format!("{}: {error}", folder.display());
        let found = folder.metadata().map_err(|error| invalid(what(&error)))?;
        if !found.is_dir() {
            return Err(invalid(format!("{} is no folder", folder.display())));
        }
        match location.symlink_metadata() {
            Ok(there) if there.is_dir() => Err(invalid(format!("{} is a folder", location.display()))),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(invalid(format!("{}: {error}", location.display()))),
        }?;
        Ok(Self { location: location.to_owned(), neighbour: folder.join(format!("{PREFIX}{id}")) })
    }

    pub(super) fn location(&self) -> &Path {
        &self.location
    }

    pub(super) fn neighbour(&self) -> &Path {
        &self.neighbour
    }

    /// Makes the neighbour, for root alone, and has it written; then it is the archive. After an error it is gone.
    pub(super) fn write(
        &self,
        limits: UnpackLimits,
        cancelled: &Cancelled,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        // Of an earlier daemon.
        remove(&self.neighbour)?;
        let outcome = self.write_new(limits, cancelled, content);
        if outcome.is_err() {
            let _ = remove(&self.neighbour);
        }
        outcome
    }

    fn write_new(
        &self,
        limits: UnpackLimits,
        cancelled: &Cancelled,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&self.neighbour)?;
        let mut watched = io::BufWriter::with_capacity(1 << 20, WatchedFile::new(file, limits, cancelled.clone()));
        content(&mut watched)?;
        let WatchedFile { file, .. } = watched.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        peapod_sys::fail_point("checkpoint-written");
        wanted(cancelled)?;
        std::fs::rename(&self.neighbour, &self.location)?;
        let folder = self.location.parent().unwrap_or(Path::new("/"));
        File::open(folder)?.sync_all()
    }
}

/// Removes a file. Already gone is success.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn wanted(cancelled: &Cancelled) -> io::Result<()> {
    if cancelled.is_set() { Err(io::Error::other("nobody waits for it any more")) } else { Ok(()) }
}

/// Writes as long as somebody waits for it, the disk keeps its reserve, and it is no larger than what is taken in
/// again.
pub(super) struct WatchedFile {
    file: File,
    limits: UnpackLimits,
    cancelled: Cancelled,
    written: u64,
    unseen: u64,
}

impl WatchedFile {
    pub(super) fn new(file: File, limits: UnpackLimits, cancelled: Cancelled) -> Self {
        Self { file, limits, cancelled, written: 0, unseen: LOOK }
    }
}

impl Write for WatchedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        wanted(&self.cancelled)?;
        let most = self.limits.layer_bytes.min(self.limits.image_bytes);
        if self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > most {
            let why = format!(
                "it has more than {most} bytes: no container could be made of it (image.max_layer_bytes and \
                 image.max_image_bytes can allow more)"
            );
            return Err(io::Error::other(why));
        }
        if self.unseen >= LOOK {
            self.unseen = 0;
            let disk = rustix::fs::fstatvfs(&self.file)?;
            let reserve = self.limits.reserve_percent;
            if disk.f_bavail.saturating_mul(100) < disk.f_blocks.saturating_mul(reserve) {
                let why = format!("{reserve} % of the file system are kept free (image.disk_reserve_percent)");
                return Err(io::Error::new(io::ErrorKind::StorageFull, why));
            }
        }
        let count = self.file.write(bytes)?;
        self.unseen += u64::try_from(count).unwrap_or(0);
        self.written += u64::try_from(count).unwrap_or(0);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use peapod_image::Wanted;

    use super::*;

    fn reserve(reserve_percent: u64) -> UnpackLimits {
        UnpackLimits { reserve_percent, ..peapod_image::Config::new("/".into()).limits }
    }

    #[test]
    fn what_nobody_wants_or_takes_in_again_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let place = ArchivePlace::find(&dir.path().join("a.tar"), "id").unwrap();
        let entries = || std::fs::read_dir(dir.path()).unwrap().count();
        let small = UnpackLimits { layer_bytes: 4, ..reserve(0) };
        place.write(small, &Cancelled::default(), |to| to.write_all(b"more")).unwrap();
        assert_eq!(entries(), 1);
        std::fs::remove_file(place.location()).unwrap();
        let refused = place.write(small, &Cancelled::default(), |to| to.write_all(b"still more")).unwrap_err();
        assert!(refused.to_string().contains("image.max_layer_bytes"), "{refused}");
        // The client leaves: before the first byte, and when all is written.
        let cancelled = Wanted::default().cancelled();
        let refused = place.write(reserve(0), &cancelled, |to| to.write_all(b"more")).unwrap_err();
        assert!(refused.to_string().contains("nobody"), "{refused}");
        let wanted = Wanted::default();
        let left = place.write(reserve(0), &wanted.cancelled(), |to| {
            to.write_all(b"more")?;
            to.flush()?;
            drop(wanted);
            Ok(())
        });
        assert!(left.unwrap_err().to_string().contains("nobody"));
        assert_eq!(entries(), 0);
    }

    #[test]
    fn an_archive_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().join("a.tar");
        let place = ArchivePlace::find(&location, "id").unwrap();
        let entries = || std::fs::read_dir(dir.path()).unwrap().count();
        let failed = place
            .write(reserve(0), &Cancelled::default(), |to| to.write_all(b"half").and(Err(io::Error::other("broken"))));
        assert_eq!((failed.unwrap_err().to_string().as_str(), entries()), ("broken", 0));
        std::fs::write(place.neighbour(), "left").unwrap();
        place.write(reserve(0), &Cancelled::default(), |to| to.write_all(b"whole")).unwrap();
        assert_eq!((std::fs::read_to_string(&location).unwrap().as_str(), entries()), ("whole", 1));
        assert_eq!(std::fs::metadata(&location).unwrap().permissions().mode() & 0o7777, 0o600);
        let full = place.write(reserve(101), &Cancelled::default(), |to| to.write_all(b"more")).unwrap_err();
        assert_eq!((full.kind(), entries()), (io::ErrorKind::StorageFull, 1));
        assert_eq!(std::fs::read_to_string(&location).unwrap(), "whole");
    }

    #[test]
    fn no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, location) = (dir.path().join("victim"), dir.path().join("a.tar"));
        std::fs::write(&victim, "untouched").unwrap();
        symlink(&victim, &location).unwrap();
        let place = ArchivePlace::find(&location, "id").unwrap();
        symlink(&victim, place.neighbour()).unwrap();
        place.write(reserve(0), &Cancelled::default(), |to| to.write_all(b"whole")).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        assert!(location.symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn places_that_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for bad in
            [Path::new(""), Path::new("a.tar"), Path::new("/"), dir.path(), &file.join("x"), &dir.path().join("a/b")]
        {
            let refused = ArchivePlace::find(bad, "id").unwrap_err();
            assert!(matches!(&refused, Error::Invalid { field, .. } if field == "location"), "{refused}");
        }
    }
}
