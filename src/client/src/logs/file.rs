//! A log file that may be rotated before it is read, and meanwhile: it begins with the oldest that is there of it.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::set_aside;

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
    /// How many of these turns lead to files that were counted with the first.
    surveyed: u64,
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
        Self { path: path.to_owned(), open: None, begun: Vec::new(), turns: 0, surveyed: 0 }
    }

    /// Shows each whole line that is there by now; then reading begins at the first of them, also if the file has
    /// another name by then.
    pub(crate) fn survey(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut next = self.opened()?.map(|file| file.try_clone()).transpose()?;
        let mut files = 0;
        while let Some(file) = next {
            files += 1;
            // Whoever writes may be faster than this.
            let (end, mut position) = (file.metadata()?.len(), 0);
            while position < end {
                let mut chunk = vec![0; CHUNK.min(usize::try_from(end - position).unwrap_or(CHUNK))];
                let length = file.read_at(&mut chunk, position)?;
                if length == 0 {
                    break;
                }
                position += length as u64;
                self.split(&chunk[..length]).iter().for_each(|line| each(line));
            }
            self.begun.clear();
            next = after(&self.path, &file)?;
        }
        self.surveyed = files.max(1) - 1;
        Ok(())
    }

    /// How often another file took the place of one that was read, or it was emptied; but for those that were there
    /// when all was surveyed.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.saturating_sub(self.surveyed)
    }

    fn opened(&mut self) -> io::Result<Option<&mut File>> {
        if self.open.is_none() {
            let last = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            // Looked for after that: it may be set aside this moment.
            self.open = set_aside::first(&self.path)?.or(last);
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
        let new = after(&self.path, file)?;
        let (old, position) = (file.metadata()?, file.stream_position()?);
        let Some(new) = new else {
            if old.len() >= position {
                return Ok(Rotation::None);
            }
            // Copied elsewhere and emptied, as logrotate's copytruncate does.
            self.begun.clear();
            self.turns += 1;
            file.rewind()?;
            return Ok(Rotation::ReadAgain);
        };
        // Nothing is written to the old file once the new one is there, but it may have been since the last read.
        if old.len() > position {
            return Ok(Rotation::ReadAgain);
        }
        Ok(Rotation::To(new))
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

/// The file that follows on this one: nothing if it is the last, or while there is no last one.
fn after(path: &Path, file: &File) -> io::Result<Option<File>> {
    let last = match File::open(path) {
        Ok(last) => last,
        // Between two names.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (old, identity) = (file.metadata()?, last.metadata()?);
    if (old.dev(), old.ino()) == (identity.dev(), identity.ino()) {
        return Ok(None);
    }
    Ok(Some(set_aside::after(path, &old)?.unwrap_or(last)))
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
    fn what_was_set_aside_before_is_read_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let write = |name: &str, text: &str, second: u64| {
            let mut file = File::create_new(dir.path().join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
        };
        write("0.log.20240101-000020", "1\n2\n", 20);
        let mut log = LogFile::new(&path);
        assert_eq!(all(&mut log), ["1", "2"], "also while the log itself is not there");
        write("0.log.20240101-000030", "3\n", 30);
        write("0.log", "4\n5\nbegun", 40);
        assert_eq!(all(&mut log), ["3", "4", "5"]);
        let (mut log, mut count) = (LogFile::new(&path), 0);
        log.survey(|_| count += 1).unwrap();
        assert_eq!(count, 5);
        assert_eq!((all(&mut log).len(), log.turns()), (5, 0));
        std::fs::rename(&path, dir.path().join("0.log.20240101-000040")).unwrap();
        std::fs::write(&path, "6\n").unwrap();
        assert_eq!((all(&mut log), log.turns()), (vec!["6".to_owned()], 1));
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
