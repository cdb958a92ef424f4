//! A log file that may be rotated while it is read.

use std::fs::File;
use std::io::{self, Read, Seek as _};
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

/// What has become of a file that was read to its end.
enum Rotation {
    None,
    /// There is more in it.
    ReadAgain,
    /// All of it was read, and this one has its name.
    To(File),
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
                match self.rotated()? {
                    Rotation::None => return Ok(Vec::new()),
                    Rotation::ReadAgain => continue,
                    Rotation::To(new) => {
                        // A line of the old file that never ended belongs to nothing of the new one.
                        self.begun.clear();
                        self.open = Some(new);
                        continue;
                    }
                }
            }
            chunk.truncate(length);
            let lines = self.split(&chunk);
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// All was read: whether the path leads to another file by now, or this one was emptied.
    fn rotated(&mut self) -> io::Result<Rotation> {
        let Some(file) = &mut self.open else { return Ok(Rotation::None) };
        let new = match File::open(&self.path) {
            Ok(new) => new,
            // Between two names.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Rotation::None),
            Err(error) => return Err(error),
        };
        let (old, identity) = (file.metadata()?, new.metadata()?);
        let position = file.stream_position()?;
        if (old.dev(), old.ino()) == (identity.dev(), identity.ino()) {
            if old.len() >= position {
                return Ok(Rotation::None);
            }
            // Copied elsewhere and emptied, as logrotate's copytruncate does.
            self.begun.clear();
            file.rewind()?;
            return Ok(Rotation::ReadAgain);
        }
        // Nothing is written to the old file once the new one is there, but it may have been since the last read.
        Ok(if old.len() > position { Rotation::ReadAgain } else { Rotation::To(new) })
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
        let mut other = File::options().append(true).open(&path).unwrap();
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        other.write_all(b"late\n").unwrap();
        std::fs::write(&path, "five\n").unwrap();
        assert_eq!(log.read().unwrap(), [b"late"]);
        assert_eq!(log.read().unwrap(), [b"five"]);
        std::fs::write(&path, "6\n").unwrap();
        assert_eq!(log.read().unwrap(), [b"6"], "emptied in its place");
    }
}
