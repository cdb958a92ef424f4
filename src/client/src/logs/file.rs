//! A log file that may be rotated while it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Read at once.
const CHUNK: usize = 64 << 10;
/// A line of a log has 16 KiB of text; what is longer is none.
const LONGEST_RAW: usize = 1 << 20;

/// Reads line by line, also across rotation.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    open: Option<File>,
    /// The begin of a line whose end is not there yet.
    begun: Vec<u8>,
}

impl LogFile {
    /// The file need not be there yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: None, begun: Vec::new() }
    }

    /// Gives the whole lines that were written since the last call, a bounded part of them at a time.
    ///
    /// Nothing means that there is nothing more for now.
    pub(crate) fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        if self.open.is_none() {
            self.open = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
        }
        loop {
            let Some(file) = &mut self.open else { return Ok(Vec::new()) };
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk)?;
            if length == 0 {
                if !self.rotated()? {
                    return Ok(Vec::new());
                }
                continue;
            }
            chunk.truncate(length);
            let lines = self.split(&chunk);
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// All was read, and the path leads to another file by now, which is opened.
    fn rotated(&mut self) -> io::Result<bool> {
        let Some(file) = &self.open else { return Ok(false) };
        let old = file.metadata()?;
        let new = match File::open(&self.path) {
            Ok(new) => new,
            // Between two names.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let identity = new.metadata()?;
        if (old.dev(), old.ino()) == (identity.dev(), identity.ino()) {
            return Ok(false);
        }
        self.begun.clear();
        self.open = Some(new);
        Ok(true)
    }

    fn split(&mut self, chunk: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.begun);
            line.extend_from_slice(&rest[..end]);
            lines.push(line);
            rest = &rest[end + 1..];
        }
        if self.begun.len() + rest.len() <= LONGEST_RAW {
            self.begun.extend_from_slice(rest);
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_what_is_written_also_after_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = LogFile::new(&path);
        assert!(log.read().unwrap().is_empty(), "not there yet");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(log.read().unwrap(), [b"one"]);
        assert!(log.read().unwrap().is_empty());
        file.write_all(b"o\n").unwrap();
        assert_eq!(log.read().unwrap(), [b"two"]);
        file.write_all(b"three\n").unwrap();
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        assert_eq!(log.read().unwrap(), [b"three"]);
        assert!(log.read().unwrap().is_empty());
        std::fs::write(&path, "four\n").unwrap();
        assert_eq!(log.read().unwrap(), [b"four"]);
    }
}
