//! Reading and writing the small text files of a control group.

use std::fs;
use std::io::Write;
use std::path::Path;

use crate::{GroupError, parse};

/// The line of a count of kills, in both versions.
pub(crate) const OOM_KILL: &str = "oom_kill";

/// A file's text; `None` when the file or its group is not there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, GroupError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(source) => {
            let error = GroupError::of("read", path)(source);
            if error.is_gone() { Ok(None) } else { Err(error) }
        }
    }
}

/// Writes without making the file: a control group's files are the kernel's.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), GroupError> {
    fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(GroupError::of("write", path))
}

/// A file with one number in it. `max` and what is no number are `None`.
pub(crate) fn number(path: &Path) -> Result<Option<u64>, GroupError> {
    Ok(read(path)?.as_deref().and_then(parse::number))
}
