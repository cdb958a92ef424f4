//! The folder whose archives are imported when the daemon starts, for nodes without a registry.
//!
//! A file that was imported before, by its path, size, times and inode, is not read again as long as its images are
//! here. What comes from the folder is pinned: nothing could bring it back.
//!
//! A name goes to the image of an archive once. What is pulled or imported under it afterwards stays, whatever the
//! folder still has, until that archive is another one. An image that was removed comes back if its name is free.

use super::find::FoundImage;
use super::{ArchiveSource, FoundArchive, ImportRequest, is_missing};
use crate::bounds::{ERROR_TEXT, FOLDER_ARCHIVES};
use crate::model::ImageId;
use crate::records::archives::{self, ArchiveContents, ArchiveRow};
use crate::records::names;
use crate::store::Store;
use peapod_text::collapsed;
use std::collections::HashMap;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What archives are called.
const SUFFIXES: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];

/// What came of the folder at this start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderImport {
    /// All of it was looked at.
    pub is_done: bool,
    /// Images of archives that were read now.
    pub imported: usize,
    /// Archives that were known.
    pub unchanged: usize,
    /// What could not be imported: the first of them.
    pub broken: Vec<BrokenArchive>,
}

/// An archive that could not be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenArchive {
    /// The file, or the folder.
    pub path: PathBuf,
    /// On one line of bounded length.
    pub problem: String,
}

/// Imports what is in the folder and new, one file after the other. `told`: hears of each step.
pub(crate) async fn import_folder(store: &Arc<Store>, folder: &Path, told: impl Fn(&FolderImport)) {
    let mut report = FolderImport::default();
    let own = folder.to_owned();
    let listed = tokio::task::spawn_blocking(move || archives_in(&own)).await;
    let (files, more) = match listed.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(found) => found,
        Err(error) => {
            report.add(folder, &error.to_string());
            (Vec::new(), 0)
        }
    };
    if more > 0 {
        report.add(folder, &format!("it has more than {FOLDER_ARCHIVES} archives; {more} are passed over"));
    }
    let mut kept = Vec::new();
    for path in files {
        // A name that is no text is remembered nowhere, and read each time.
        let name = path.to_str().map(str::to_owned);
        match import_file(store, &path, name.as_deref()).await {
            Ok(FileImport::Unchanged) => report.unchanged += 1,
            Ok(FileImport::Imported(images)) => {
                tracing::info!(path = %path.display(), images, "an archive of the import folder was imported");
                report.imported += images;
            }
            Err(problem) => {
                tracing::error!(path = %path.display(), problem, "an archive of the import folder can't be imported");
                report.add(&path, &problem);
            }
        }
        kept.extend(name);
        told(&report);
    }
    // An empty one may be a disk that is not mounted yet.
    if !kept.is_empty()
        && let Err(error) = store.records.write(move |tx| archives::retain(tx, &kept)).await
    {
        tracing::warn!(%error, "archives that are gone from the import folder can't be forgotten");
    }
    report.is_done = true;
    told(&report);
}

impl FolderImport {
    fn add(&mut self, path: &Path, problem: &str) {
        if self.broken.len() < FOLDER_ARCHIVES {
            let problem = collapsed(problem, ERROR_TEXT);
            self.broken.push(BrokenArchive { path: path.to_owned(), problem });
        }
    }
}

enum FileImport {
    Unchanged,
    Imported(usize),
}

async fn import_file(store: &Arc<Store>, path: &Path, name: Option<&str>) -> Result<FileImport, String> {
    let own = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || open(&own)).await;
    let (file, stamp) =
        opened.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| error.to_string())?;
    let known = match name.map(str::to_owned) {
        Some(name) => store.records.read(move |connection| archives::known(connection, &name)).await,
        None => Ok(None),
    };
    let known = known.map_err(|error| error.to_string())?;
    if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp)
        && !lacks(store, &known.contents).await?
    {
        return Ok(FileImport::Unchanged);
    }
    let request = ImportRequest { pin: true, ..ImportRequest::default() };
    let shown = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let again = file.try_clone().map_err(|error| error.to_string())?;
    let source = ArchiveSource::File(file, shown);
    let mut found = FoundArchive::read(store, request, source).await.map_err(|error| error.to_string())?;
    let contents = found.contents();
    if let Some(known) = known {
        // Times and inodes change without the file, such as when it is moved to another disk: then what it has says
        // which of its images are new.
        let image = |image: &FoundImage| (image.row.id.clone(), image.meant());
        let is_known = |found: &FoundImage| known.stamp == stamp || known.contents.0.contains(&image(found));
        found.only_missing(is_known, &taken(store, &contents).await?);
    }
    // Changed meanwhile: what was read is imported, and the next start reads it again.
    let after = tokio::task::spawn_blocking(move || again.metadata().map(|found| stamp_of(&found))).await;
    let is_same = matches!(after, Ok(Ok(after)) if after == stamp);
    let row = name.filter(|_| is_same).map(|name| ArchiveRow { path: name.to_owned(), stamp, contents });
    let images = found.bring(row).await.map_err(|error| error.to_string())?;
    Ok(if images.is_empty() { FileImport::Unchanged } else { FileImport::Imported(images.len()) })
}

/// Whether an image of an archive is gone that may come back. Of what is known without names the archive says more.
async fn lacks(store: &Arc<Store>, contents: &ArchiveContents) -> Result<bool, String> {
    let catalog = store.records.catalog();
    let taken = taken(store, contents).await?;
    let lacks = |(id, names): &(ImageId, Vec<String>)| match &names[..] {
        [] => catalog.by_id(id).is_none(),
        names => is_missing(&catalog, id, names, &taken),
    };
    Ok(contents.0.iter().any(lacks))
}

/// Which of the names lead somewhere.
async fn taken(store: &Arc<Store>, contents: &ArchiveContents) -> Result<HashMap<String, ImageId>, String> {
    let names: Vec<String> = contents.0.iter().flat_map(|(_, names)| names.clone()).collect();
    let taken = store.records.read(move |connection| names::taken(connection, &names)).await;
    taken.map_err(|error| error.to_string())
}

/// Blocks. A link leads to an archive elsewhere; a pipe is none, and nobody waits for it.
fn open(path: &Path) -> io::Result<(File, String)> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    Ok((file, stamp_of(&found)))
}

/// Differs when the file is another one, or was written to.
fn stamp_of(file: &Metadata) -> String {
    let (device, inode, size) = (file.dev(), file.ino(), file.size());
    let changed = format!("{}.{} {}.{}", file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
    format!("{device} {inode} {size} {changed}")
}

/// The archives of a folder by their names, and how many more there are. A folder that is not there has none. Blocks.
fn archives_in(folder: &Path) -> io::Result<(Vec<PathBuf>, usize)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let is_archive = |suffix: &&str| name.as_bytes().to_ascii_lowercase().ends_with(suffix.as_bytes());
        if !name.as_bytes().starts_with(b".") && SUFFIXES.iter().any(is_archive) {
            files.push(folder.join(&name));
        } else {
            tracing::debug!(name = %name.display(), "what is no archive by its name is not imported");
        }
    }
    files.sort();
    let more = files.len().saturating_sub(FOLDER_ARCHIVES);
    files.truncate(FOLDER_ARCHIVES);
    Ok((files, more))
}
