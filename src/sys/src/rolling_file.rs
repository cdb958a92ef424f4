//! A file of bounded length, and the one before it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// What is written goes to the end of a file; one that would become too long is set aside as `<path>.1` before, in
/// place of the one that was.
#[derive(Debug)]
pub struct RollingFile {
    path: PathBuf,
    file: File,
    most: u64,
    mode: u32,
}

impl RollingFile {
    /// Goes on with a file, or makes it with that mode. `most` is its length in bytes.
    ///
    /// # Errors
    /// It can't be opened, or is no regular file: a device or a pipe has no length, and its name is not ours to move.
    pub fn open(path: &Path, most: u64, mode: u32) -> io::Result<Self> {
        let file = append_to(path, mode)?;
        Ok(Self { path: path.to_owned(), file, most, mode })
    }

    /// Writes all of it into one file, or nothing.
    ///
    /// # Errors
    /// There is no room, or the file can't be set aside. It may be tried again.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Somebody else may have cut it, or written into it.
        let length = self.file.metadata()?.len();
        if length > 0 && length.saturating_add(bytes.len() as u64) > self.most {
            self.turn()?;
        }
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write(&bytes[written..]) {
                Ok(0) => return self.take_back(written, io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.take_back(written, error),
            }
        }
        Ok(())
    }

    /// Half a line is none; if it stays, the next one is hard to read.
    fn take_back(&self, written: usize, error: io::Error) -> io::Result<()> {
        if written > 0
            && let Ok(found) = self.file.metadata()
        {
            let _ = self.file.set_len(found.len().saturating_sub(written as u64));
        }
        Err(error)
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        match fs::rename(&self.path, old) {
            // An earlier try came no further.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append_to(&self.path, self.mode)?;
        Ok(())
    }
}

fn append_to(path: &Path, mode: u32) -> io::Result<File> {
    // Without waiting for the reader of a pipe.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().append(true).create(true).mode(mode).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_goes_on_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = RollingFile::open(&path, 100, 0o600).unwrap();
        for _ in 0..20 {
            log.append(&[b'x'; 30]).unwrap();
        }
        RollingFile::open(&path, 100, 0o600).unwrap().append(b"end\n").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"end\n"));
        let lengths: Vec<u64> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(lengths.len() == 2 && lengths.iter().all(|length| *length <= 100), "{lengths:?}");
        RollingFile::open(&path, 100, 0o600).unwrap().append(&[b'x'; 1000]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [b'x'; 1000], "what is longer than all has a file of its own");
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        for path in [Path::new("/dev/null"), Path::new("/dev/full"), &pipe, dir.path()] {
            assert!(RollingFile::open(path, 100, 0o600).is_err(), "{}", path.display());
        }
        let reader = File::options().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(RollingFile::open(&pipe, 100, 0o600).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        drop(reader);
    }

    #[test]
    fn after_a_failure_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = RollingFile::open(&path, 10, 0o600).unwrap();
        log.append(b"1\n").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let room = std::mem::replace(&mut log.file, full);
        log.append(b"2\n").unwrap_err();
        log.file = room;
        log.append(b"345678\n").unwrap();
        fs::create_dir(dir.path().join("log.1")).unwrap();
        log.append(b"9\n").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"1\n345678\n");
        fs::remove_dir(dir.path().join("log.1")).unwrap();
        log.append(b"9\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"9\n");
        // Somebody has removed it.
        fs::remove_file(&path).unwrap();
        log.append(&[b'x'; 10]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [b'x'; 10]);
    }

    #[test]
    fn its_length_is_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        let mut log = RollingFile::open(&path, 10, 0o600).unwrap();
        log.append(b"123456789\n").unwrap();
        // As logrotate does it, with copytruncate.
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        log.append(b"1\n").unwrap();
        assert!(fs::read(&path).unwrap() == b"1\n" && !old.exists(), "there was room");
        RollingFile::open(&path, 10, 0o600).unwrap().append(b"others\n").unwrap();
        log.append(b"2\n").unwrap();
        assert_eq!((fs::read(&old).unwrap(), fs::read(&path).unwrap()), (b"1\nothers\n".to_vec(), b"2\n".to_vec()));
    }
}
