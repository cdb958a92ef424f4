//! Where a run writes that nobody watches: a file of bounded length, and the one before it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;

use crate::bounds::RUN_LOG_BYTES;

/// The file; clones write to the same one.
#[derive(Clone)]
pub(crate) struct RunLog(Arc<Mutex<OpenLog>>);

struct OpenLog {
    path: PathBuf,
    file: File,
    length: u64,
}

impl RunLog {
    /// Goes on with a file, or makes it for the user alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = append_to(path)?;
        let length = file.metadata()?.len();
        Ok(Self(Arc::new(Mutex::new(OpenLog { path: path.to_owned(), file, length }))))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = lock(&self.0);
        if log.length > 0 && log.length + bytes.len() as u64 > RUN_LOG_BYTES {
            let mut old = log.path.clone().into_os_string();
            old.push(".1");
            fs::rename(&log.path, old)?;
            log.file = append_to(&log.path)?;
            log.length = 0;
        }
        log.file.write_all(bytes)?;
        log.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_whole_lines_move_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let line = vec![b'x'; 1 << 20];
        let mut log = RunLog::open(&path).unwrap();
        for _ in 0..20 {
            log.write_all(&line).unwrap();
        }
        let mut again = RunLog::open(&path).unwrap();
        again.write_all(b"end\n").unwrap();
        assert!(fs::read(&path).unwrap().ends_with(b"end\n"));
        let lengths = dir.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let lengths: Vec<u64> = lengths.collect();
        assert!(lengths.len() == 2 && lengths.iter().all(|length| *length <= RUN_LOG_BYTES), "{lengths:?}");
    }
}
