//! A log file that may be rotated while it is read.

use std::fs::{File, Metadata};
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
    /// How often another file took the place of one, or it was emptied.
    turns: u64,
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
        Self { path: path.to_owned(), open: None, begun: Vec::new(), turns: 0 }
    }

    /// Shows each whole line that is there by now; then reading begins at the first of them, also if the file has
    /// another name by then.
    pub(crate) fn survey(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let Some(mut file) = self.opened()?.map(|file| file.try_clone()).transpose()? else { return Ok(()) };
        // Whoever writes may be faster than this.
        let mut left = file.metadata()?.len();
        while left > 0 {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            let length = file.read(&mut chunk)?;
            if length == 0 {
                break;
            }
            left -= length as u64;
            self.split(&chunk[..length]).iter().for_each(|line| each(line));
        }
        self.begun.clear();
        file.rewind()
    }

    /// How often another file took the place of one that was read, or it was emptied.
    pub(crate) fn turns(&self) -> u64 {
        self.turns
    }

    fn opened(&mut self) -> io::Result<Option<&mut File>> {
        if self.open.is_none() {
            self.open = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
        }
        Ok(self.open.as_mut())
    }

    /// Gives the whole lines that were written since the last call, a bounded part of them at a time.
    ///
    /// Nothing means that there is nothing more for now.
    pub(crate) fn read(&mut self) -> io::Result<Vec<Vec<u8>>> {
        loop {
            let Some(file) = self.opened()? else { return Ok(Vec::new()) };
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
                        self.turns += 1;
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
            self.turns += 1;
            file.rewind()?;
            return Ok(Rotation::ReadAgain);
        }
        // Nothing is written to the old file once the new one is there, but it may have been since the last read.
        if old.len() > position {
            return Ok(Rotation::ReadAgain);
        }
        Ok(Rotation::To(self.between(&old)?.unwrap_or(new)))
    }

    /// The first file that was set aside after this one, as kubelets do it: who reads slowly comes to it late.
    fn between(&self, old: &Metadata) -> io::Result<Option<File>> {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(None) };
        let last = |found: &Metadata| (found.mtime(), found.mtime_nsec());
        let mut next: Option<(_, PathBuf)> = None;
        for entry in folder.read_dir()? {
            let entry = entry?;
            let is_one =
                entry.file_name().as_encoded_bytes().strip_prefix(name.as_encoded_bytes()).is_some_and(is_time);
            // It may be removed at any moment.
            let Some(found) = is_one.then(|| entry.metadata().ok()).flatten().filter(Metadata::is_file) else {
                continue;
            };
            let is_later = last(&found) > last(old) && (found.dev(), found.ino()) != (old.dev(), old.ino());
            if is_later && next.as_ref().is_none_or(|(time, _)| last(&found) < *time) {
                next = Some((last(&found), entry.path()));
            }
        }
        match next.map(|(_, path)| File::open(path)) {
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => opened.transpose(),
        }
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

/// What follows the name of a log that was set aside: `.20240131-120000`.
fn is_time(end: &[u8]) -> bool {
    let shape = b".00000000-000000";
    let is_fit = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    end.len() == shape.len() && end.iter().zip(shape).all(is_fit)
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

    fn all(log: &mut LogFile) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let lines = log.read().unwrap();
            if lines.is_empty() {
                return all;
            }
            all.extend(lines.into_iter().map(|line| String::from_utf8(line).unwrap()));
        }
    }

    #[test]
    fn several_rotations_between_two_reads_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let write = |text: &str, second: u64| {
            let mut file = File::create_new(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
        };
        let set_aside = |end: &str| std::fs::rename(&path, dir.path().join(format!("0.log.{end}"))).unwrap();
        write("one\n", 10);
        let mut log = LogFile::new(&path);
        assert_eq!(all(&mut log), ["one"]);
        set_aside("20240101-000010");
        write("two\n", 20);
        // Names do not say the order, nor is each file beside it one.
        std::fs::copy(&path, dir.path().join("0.log.bak")).unwrap();
        set_aside("20240101-000030");
        write("three\n", 30);
        set_aside("20240101-000020");
        write("four\n", 40);
        assert_eq!(all(&mut log), ["two", "three", "four"]);
        assert_eq!(log.turns(), 3);
    }

    #[test]
    fn what_was_counted_is_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = LogFile::new(&path);
        log.survey(|_| panic!("not there yet")).unwrap();
        std::fs::write(&path, "1\n2\n3\nbegun").unwrap();
        let mut count = 0;
        log.survey(|_| count += 1).unwrap();
        assert_eq!(count, 3);
        // Another one takes its name before it is read.
        std::fs::rename(&path, dir.path().join("old")).unwrap();
        std::fs::write(&path, "4\n").unwrap();
        assert_eq!(log.turns(), 0);
        assert_eq!(all(&mut log), ["1", "2", "3", "4"]);
        assert_eq!(log.turns(), 1);
    }
}
