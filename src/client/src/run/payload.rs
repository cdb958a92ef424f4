//! Files of a volume that change all at once, in the layout of a kubelet: what containers see are links through
//! `..data`, which is replaced by one rename.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The link that is replaced.
const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// A file to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PayloadFile {
    /// Relative, without `..`, `.` and empty parts.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) user: Option<u32>,
    pub(super) bytes: Arc<[u8]>,
}

/// What failed.
#[derive(Debug)]
pub(super) enum PayloadError {
    /// The files are those of before.
    Write(io::Error),
    /// The new ones are in force; what is only among the new ones may not be seen yet, nor the old ones be gone.
    TidyUp(io::Error),
}

/// Makes the volume's files these, once `own` has said whose they are; nobody else writes into the folder.
pub(super) fn write(
    folder: &Path,
    files: &[PayloadFile],
    own: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), PayloadError> {
    let generation = write_generation(folder, files, own).map_err(PayloadError::Write)?;
    tidy_up(folder, files, &generation).map_err(PayloadError::TidyUp)
}

/// Writes them beside those of before, and shows them in place of these.
fn write_generation(
    folder: &Path,
    files: &[PayloadFile],
    own: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let generation = new_generation(folder)?;
    let path = folder.join(&generation);
    let made = files.iter().try_for_each(|file| write_file(&path.join(&file.path), file)).and_then(|()| own(&path));
    made.and_then(|()| turn_to(folder, &generation)).inspect_err(|_| {
        // The first error is the one to tell.
        let _ = peapod_sys::remove_tree(&path);
    })?;
    Ok(generation)
}

/// Leaves what leads to this generation, and nothing of others, also of those that were interrupted.
fn tidy_up(folder: &Path, files: &[PayloadFile], generation: &Path) -> io::Result<()> {
    let names: BTreeSet<&str> =
        files.iter().filter_map(|file| file.path.split('/').find(|part| !part.is_empty())).collect();
    for name in &names {
        match symlink(Path::new(DATA).join(name), folder.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let (Some(text), kind) = (name.to_str(), entry.file_type()?) else { continue };
        if text.starts_with("..") {
            if kind.is_dir() && name != generation.as_os_str() {
                peapod_sys::remove_tree(&entry.path())?;
            }
        } else if !names.contains(text) && kind.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Shows this generation of the files from now on.
fn turn_to(folder: &Path, generation: &Path) -> io::Result<()> {
    // Left over if an earlier try was interrupted.
    match fs::remove_file(folder.join(NEW_DATA)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => symlink(generation, folder.join(NEW_DATA))?,
    }
    fs::rename(folder.join(NEW_DATA), folder.join(DATA))
}

/// A folder that was not there, named after the time.
fn new_generation(folder: &Path) -> io::Result<PathBuf> {
    let now = time::OffsetDateTime::now_utc();
    let format =
        time::macros::format_description!("..[year]_[month]_[day]_[hour]_[minute]_[second].[subsecond digits:9]");
    let name = now.format(format).map_err(io::Error::other)?;
    make_folder(&folder.join(&name))?;
    Ok(PathBuf::from(name))
}

/// For everybody to read, whatever the umask is.
fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
}

fn write_file(path: &Path, file: &PayloadFile) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        make_folder(folder)?;
    }
    // Of equal paths the last one counts.
    let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    open.write_all(&file.bytes)?;
    open.set_permissions(Permissions::from_mode(file.mode))?;
    file.user.map_or(Ok(()), |user| chown(path, Some(user), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32, text: &str) -> PayloadFile {
        PayloadFile { path: path.into(), mode, user: None, bytes: text.as_bytes().into() }
    }

    #[test]
    fn files_are_written_and_replaced_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let own = |_: &Path| Ok(());
        write(dir.path(), &[file("a", 0o400, "1"), file("deep/er/b", 0o644, "2"), file("a", 0o440, "3")], own).unwrap();
        assert_eq!(fs::read_link(at("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::read_link(at("deep")).unwrap(), Path::new("..data/deep"));
        assert_eq!(
            (fs::read_to_string(at("a")).unwrap(), fs::read_to_string(at("deep/er/b")).unwrap()),
            ("3".into(), "2".into())
        );
        assert_eq!(fs::metadata(at("a")).unwrap().permissions().mode() & 0o7777, 0o440);
        let first = fs::read_link(at("..data")).unwrap();
        let refused = write(dir.path(), &[file("a", 0o644, "5")], |_| Err(io::Error::other("no")));
        assert!(matches!(refused, Err(PayloadError::Write(error)) if error.to_string() == "no"));
        assert_eq!((fs::read_to_string(at("a")).unwrap(), fs::read_dir(dir.path()).unwrap().count()), ("3".into(), 4));
        // As one that was killed leaves it.
        fs::create_dir_all(at("..2020_01_01_00_00_00.000000000/x")).unwrap();
        write(dir.path(), &[file("c", 0o644, "4")], own).unwrap();
        assert!(!at("..2020_01_01_00_00_00.000000000").exists());
        assert!(!at("a").exists() && fs::symlink_metadata(at("a")).is_err() && !at("deep").exists());
        assert!(fs::symlink_metadata(dir.path().join(first)).is_err(), "the old files are gone");
        assert_eq!(fs::read_to_string(at("c")).unwrap(), "4");
        write(dir.path(), &[], own).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "..data and what it leads to");
    }
}
