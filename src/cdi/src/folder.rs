//! Folders of files, and reading one of these: never waits, whatever lies there.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use crate::bounds::{FILE_BYTES, FOLDER_ENTRIES};
use crate::file::Format;
use crate::problem::FileProblem;

/// A file that was changed so shortly ago may change again at what its file system takes for the same moment.
const SETTLED: Duration = Duration::from_secs(2);

/// Which file it is, and in which state: device, inode, size, and the times of the last change of content and of
/// anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    place: (u64, u64, u64),
    times: [(i64, i64); 2],
}

impl FileIdentity {
    pub(crate) fn of(file: &Metadata) -> Self {
        Self {
            place: (file.dev(), file.ino(), file.size()),
            times: [(file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec())],
        }
    }

    /// Whether another change would be seen.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let before = since.saturating_sub(SETTLED).as_secs();
        self.times.iter().all(|(seconds, _)| u64::try_from(*seconds).is_ok_and(|seconds| seconds < before))
    }
}

/// A folder's files by their names, in order. One that is not there has none. Whoever may write it could put a link to
/// any file of root's there, one that a container has written among them.
pub(crate) fn list(dir: &Path) -> Result<Vec<(PathBuf, Format)>, FileProblem> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(FileProblem::unreadable(&error)),
    };
    let found = fs::metadata(dir).map_err(|error| FileProblem::unreadable(&error))?;
    check_owner(&found, rustix::process::geteuid().as_raw())?;
    let mut files = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number == FOLDER_ENTRIES {
            return Err(FileProblem::invalid(&format!("the folder has more than {FOLDER_ENTRIES} entries")));
        }
        let path = entry.map_err(|error| FileProblem::unreadable(&error))?.path();
        let format = path.file_name().and_then(|name| name.to_str()).and_then(Format::of_name);
        if let Some(format) = format {
            files.push((path, format));
        }
    }
    files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(files)
}

/// Looks at a file, not into it; `None`: it has vanished.
pub(crate) fn look(path: &Path) -> Option<Result<FileIdentity, FileProblem>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Some(Ok(FileIdentity::of(&found))),
        // A folder is none of the files that are meant, whatever its name.
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(Err(FileProblem::NoFile)),
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => None,
        Err(error) => Some(Err(FileProblem::unreadable(&error))),
    }
}

/// The content of a file, and which one it was.
pub(crate) fn read(path: &Path) -> Result<(FileIdentity, Vec<u8>), FileProblem> {
    let failed = |error: io::Error| FileProblem::unreadable(&error);
    // A FIFO or a device that has taken the file's place is not waited for.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(FileProblem::NoFile);
    }
    check_owner(&found, rustix::process::geteuid().as_raw())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES) {
        Ok((FileIdentity::of(&found), bytes))
    } else {
        Err(FileProblem::TooLarge)
    }
}

/// Who may write the file may run programs as root on the node.
fn check_owner(file: &Metadata, own: u32) -> Result<(), FileProblem> {
    let (uid, gid, mode) = (file.uid(), file.gid(), file.mode());
    let says = |text: String| Err(FileProblem::Writable(text));
    if uid != 0 && uid != own {
        return says(format!("belongs to user {uid}"));
    }
    if mode & 0o002 != 0 {
        return says("can be written by everybody".to_owned());
    }
    if mode & 0o020 != 0 && gid != 0 {
        return says(format!("can be written by group {gid}"));
    }
    Ok(())
}
