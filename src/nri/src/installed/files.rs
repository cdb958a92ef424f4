//! The files of installed plugins: which of them are plugins, and what is handed to each.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::bounds::{CONFIG_BYTES, FOLDER_ENTRIES, INSTALLED};
use crate::name::{PluginName, PluginNameError};

/// Any of the three.
const EXECUTABLE: u32 = 0o111;
/// Of the group, and of others.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A program in the folder of plugins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstalledFile {
    pub(crate) name: PluginName,
    pub(crate) path: PathBuf,
}

/// Why a file is not started, or a folder not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstalledFileError {
    #[error("{path} can't be {what}")]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    #[error("{0} is not root's alone to change (uid 0, without w for group and others), and would run as root")]
    Untrusted(PathBuf),
    #[error("it has more than {FOLDER_ENTRIES} entries")]
    TooManyEntries,
    #[error(transparent)]
    Name(#[from] PluginNameError),
    #[error("{INSTALLED} plugins are started, those that are first by their names")]
    TooMany,
    #[error("{0} has more than {CONFIG_BYTES} bytes, or is not UTF-8")]
    Configuration(PathBuf),
}

impl InstalledFileError {
    /// Whether the program is gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What a look at the folder finds.
#[derive(Debug, Default)]
pub(crate) struct InstalledFound {
    /// In the order of their names.
    pub(crate) plugins: Vec<InstalledFile>,
    /// Executable files that are not started, by what they are called.
    pub(crate) left_out: BTreeMap<String, InstalledFileError>,
}

/// Looks at a folder; none is one without plugins. Blocks.
pub(crate) fn find(folder: &Path) -> Result<InstalledFound, InstalledFileError> {
    let failed = |source| InstalledFileError::Io { path: folder.to_owned(), what: "read", source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(InstalledFound::default()),
        entries => entries.map_err(failed)?,
    };
    let is_ours = fs::metadata(folder).map_err(failed)?;
    let (mut found, mut count, mut plugins) = (InstalledFound::default(), 0, BTreeMap::new());
    for entry in entries {
        count += 1;
        if count > FOLDER_ENTRIES {
            return Err(InstalledFileError::TooManyEntries);
        }
        let entry = entry.map_err(failed)?;
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        // A link leads to what is started. What is not executable is somebody's notes.
        let is_program = |of: &Metadata| of.is_file() && of.mode() & EXECUTABLE != 0;
        if !fs::metadata(&path).is_ok_and(|of| is_program(&of)) {
            continue;
        }
        match PluginName::of_file(&file) {
            Ok(name) => drop(plugins.insert(name.clone(), InstalledFile { name, path })),
            Err(error) => drop(found.left_out.insert(file, error.into())),
        }
    }
    // Without any, whose the folder is matters to nobody.
    if !plugins.is_empty() && !is_trusted(&is_ours) {
        return Err(InstalledFileError::Untrusted(folder.to_owned()));
    }
    found.plugins = plugins.into_values().collect();
    for more in found.plugins.split_off(INSTALLED.min(found.plugins.len())) {
        found.left_out.insert(more.name.to_string(), InstalledFileError::TooMany);
    }
    Ok(found)
}

/// Whether nobody but root can say what is in it.
fn is_trusted(of: &Metadata) -> bool {
    of.uid() == owner() && of.mode() & WRITABLE_BY_OTHERS == 0
}

/// Who may say what runs as this daemon: it itself, which is root.
fn owner() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl InstalledFile {
    /// Looks at the file once more, and reads what is to be handed to it: `NN-name.conf` of the other folder, else
    /// `name.conf`, else nothing. Blocks.
    pub(crate) fn read(&self, configurations: &Path) -> Result<String, InstalledFileError> {
        let program = fs::metadata(&self.path);
        let program =
            program.map_err(|source| InstalledFileError::Io { path: self.path.clone(), what: "looked at", source })?;
        if !is_trusted(&program) {
            return Err(InstalledFileError::Untrusted(self.path.clone()));
        }
        for name in [self.name.to_string(), self.name.name().to_owned()] {
            let path = configurations.join(format!("{name}.conf"));
            match read_configuration(&path) {
                Err(error) if error.is_gone() => {}
                read => return read,
            }
        }
        Ok(String::new())
    }
}

fn read_configuration(path: &Path) -> Result<String, InstalledFileError> {
    let failed = |source| InstalledFileError::Io { path: path.to_owned(), what: "read", source };
    // Looked at before it is opened: a pipe has no end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("is no file")));
    }
    let file = File::open(path).map_err(failed)?;
    if !is_trusted(&file.metadata().map_err(failed)?) {
        return Err(InstalledFileError::Untrusted(path.to_owned()));
    }
    let (mut bytes, most) = (Vec::new(), u64::try_from(CONFIG_BYTES).unwrap_or(u64::MAX));
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    let text = Some(bytes).filter(|bytes| bytes.len() <= CONFIG_BYTES).and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| InstalledFileError::Configuration(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn put(path: &Path, text: &[u8], mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn names(found: &InstalledFound) -> Vec<String> {
        found.plugins.iter().map(|file| file.name.to_string()).collect()
    }

    #[test]
    fn plugins_are_executable_files_with_an_index_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        assert!(find(&dir.path().join("none")).unwrap().plugins.is_empty());
        for (name, mode) in [("20-b", 0o755), ("10-a", 0o700), ("README", 0o644), ("30-notes", 0o644), ("wrong", 0o755)]
        {
            put(&dir.path().join(name), b"", mode);
        }
        fs::create_dir(dir.path().join("40-folder")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("10-a"), dir.path().join("50-link")).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.path().join("60-dead")).unwrap();
        let found = find(dir.path()).unwrap();
        assert_eq!(names(&found), ["10-a", "20-b", "50-link"]);
        assert_eq!(found.left_out.keys().collect::<Vec<_>>(), ["wrong"]);
        for number in 0..=INSTALLED {
            put(&dir.path().join(format!("70-{number:03}")), b"", 0o755);
        }
        let found = find(dir.path()).unwrap();
        assert_eq!((found.plugins.len(), found.left_out.len()), (INSTALLED, 5));
        assert!(found.left_out["70-032"].to_string().contains("first by their names"));
    }

    #[test]
    fn what_others_can_change_is_not_started() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("10-a");
        put(&path, b"", 0o755);
        let file = find(dir.path()).unwrap().plugins.remove(0);
        assert_eq!(file.read(dir.path()).unwrap(), "");
        put(&path, b"", 0o775);
        assert!(file.read(dir.path()).unwrap_err().to_string().contains("10-a is not root's alone to change"));
        put(&path, b"", 0o755);
        put(&dir.path().join("a.conf"), b"x", 0o646);
        assert!(matches!(file.read(dir.path()), Err(InstalledFileError::Untrusted(path)) if path.ends_with("a.conf")));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(find(dir.path()), Err(InstalledFileError::Untrusted(_))));
        fs::remove_file(&path).unwrap();
        assert!(file.read(dir.path()).unwrap_err().is_gone());
        assert!(find(dir.path()).unwrap().plugins.is_empty());
    }

    #[test]
    fn the_configuration_with_the_index_comes_first_and_has_a_bound() {
        let dir = tempfile::tempdir().unwrap();
        put(&dir.path().join("10-a"), b"", 0o755);
        let file = find(dir.path()).unwrap().plugins.remove(0);
        put(&dir.path().join("a.conf"), b"general", 0o644);
        assert_eq!(file.read(dir.path()).unwrap(), "general");
        put(&dir.path().join("10-a.conf"), b"special", 0o600);
        assert_eq!(file.read(dir.path()).unwrap(), "special");
        put(&dir.path().join("10-a.conf"), &vec![b'x'; CONFIG_BYTES], 0o600);
        assert_eq!(file.read(dir.path()).unwrap().len(), CONFIG_BYTES);
        put(&dir.path().join("10-a.conf"), &vec![b'x'; CONFIG_BYTES + 1], 0o600);
        assert!(matches!(file.read(dir.path()), Err(InstalledFileError::Configuration(_))));
        put(&dir.path().join("10-a.conf"), b"\xff", 0o600);
        assert!(matches!(file.read(dir.path()), Err(InstalledFileError::Configuration(_))));
        fs::remove_file(dir.path().join("10-a.conf")).unwrap();
        fs::create_dir(dir.path().join("10-a.conf")).unwrap();
        assert!(file.read(dir.path()).unwrap_err().to_string().contains("10-a.conf can't be read"));
    }
}
