//! The directory of configurations. It is looked at again and again, never watched: it may not be there yet, be
//! replaced or be a mount that comes and goes.

use super::conflist::{ConfigurationError, Conflist};
use crate::bounds::{CONFLIST_BYTES, CONFLIST_FILES};
use peapod_sys::sync::lock;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const O_NONBLOCK: i32 = nix::fcntl::OFlag::O_NONBLOCK.bits();

/// The configuration that would be used can't be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("CNI configuration {}: {source}", file.display())]
pub struct UnusableError {
    /// The file, or the directory.
    pub file: PathBuf,
    /// What is wrong.
    pub source: Arc<ConfigurationError>,
}

impl UnusableError {
    fn new(file: PathBuf, source: ConfigurationError) -> Self {
        Self { file, source: Arc::new(source) }
    }
}

/// What the directory says.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// No configuration.
    None,
    /// The first one by name.
    Use(Arc<Conflist>),
    /// The first one by name is wrong. No other is taken: pods would end up in a network that nobody meant.
    Unusable(UnusableError),
}

/// What tells whether a file is still the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    file: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// The directory and what was seen last.
pub(crate) struct ConfDirectory {
    pub(crate) path: PathBuf,
    seen: Mutex<(Option<Stamp>, Choice)>,
}

impl ConfDirectory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::new((None, Choice::None)) }
    }

    /// As it was seen last.
    pub(crate) fn last(&self) -> Choice {
        lock(&self.seen).1.clone()
    }

    /// Looks; also whether it is another configuration than before. Blocks.
    pub(crate) fn look(&self) -> (Choice, bool) {
        let first = self.first();
        let mut seen = lock(&self.seen);
        match first {
            Ok(None) => {
                let changed = !matches!(seen.1, Choice::None);
                *seen = (None, Choice::None);
                (Choice::None, changed)
            }
            Ok(Some(stamp)) if seen.0.as_ref() == Some(&stamp) => (seen.1.clone(), false),
            Ok(Some(stamp)) => {
                let choice = match read(&stamp.file) {
                    Ok(conflist) => Choice::Use(Arc::new(conflist)),
                    // It was taken away meanwhile: the next look says what is there then.
                    Err(ConfigurationError::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                        return (seen.1.clone(), false);
                    }
                    Err(error) => Choice::Unusable(UnusableError::new(stamp.file.clone(), error)),
                };
                *seen = (Some(stamp), choice.clone());
                (choice, true)
            }
            Err(error) => {
                let changed = !matches!(seen.1, Choice::Unusable(_));
                let choice = Choice::Unusable(UnusableError::new(self.path.clone(), error));
                *seen = (None, choice.clone());
                (choice, changed)
            }
        }
    }

    fn first(&self) -> Result<Option<Stamp>, ConfigurationError> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for (at, entry) in entries.enumerate() {
            if at >= CONFLIST_FILES {
                return Err(ConfigurationError::ManyFiles);
            }
            let path = entry?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("conflist" | "conf" | "json")) {
                files.push(path);
            }
        }
        files.sort();
        for file in files {
            let Ok(metadata) = fs::metadata(&file) else { continue };
            if metadata.is_file() {
                return Ok(Some(Stamp {
                    file,
                    device: metadata.dev(),
                    inode: metadata.ino(),
                    size: metadata.size(),
                    changed: (metadata.ctime(), metadata.ctime_nsec()),
                }));
            }
        }
        Ok(None)
    }
}

fn read(file: &Path) -> Result<Conflist, ConfigurationError> {
    let mut text = Vec::new();
    // It was a file a moment ago. Opening a pipe would wait for somebody who writes.
    let file = fs::OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(file)?;
    if !file.metadata()?.is_file() {
        return Err(ConfigurationError::NoFile);
    }
    file.take(CONFLIST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > CONFLIST_BYTES {
        return Err(ConfigurationError::Long);
    }
    Conflist::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appears_changes_and_disappears() {
        let dir = tempfile::tempdir().unwrap();
        let net = dir.path().join("net.d");
        let directory = ConfDirectory::new(net.clone());
        assert!(matches!(directory.look(), (Choice::None, false)));
        fs::create_dir(&net).unwrap();
        fs::write(net.join("README"), "no configuration").unwrap();
        assert!(matches!(directory.look(), (Choice::None, false)));
        let write = |name: &str, text: &str| fs::write(net.join(name), text).unwrap();
        write("20-b.conf", r#"{"cniVersion":"1.0.0","name":"b","type":"x"}"#);
        let name = |choice: Choice| match choice {
            Choice::Use(list) => list.name.clone(),
            other => format!("{other:?}"),
        };
        let (choice, changed) = directory.look();
        assert_eq!((name(choice).as_str(), changed), ("b", true));
        assert!(!directory.look().1);
        write("10-a.conflist", "{");
        assert!(matches!(directory.look(), (Choice::Unusable(_), true)));
        write("10-a.conflist", r#"{"cniVersion":"1.1.0","name":"a","plugins":[{"type":"x"}]}"#);
        assert_eq!(name(directory.look().0), "a");
        peapod_sys::remove_tree(&net).unwrap();
        assert!(matches!(directory.look(), (Choice::None, true)));
    }
}
