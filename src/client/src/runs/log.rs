//! Where a run writes that nobody watches: a file of bounded length, and the one before it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;

use crate::bounds::RUN_LOG_BYTES;
use crate::console::LostLines;

/// The file; clones write to the same one. Writing never fails, as a run goes on whatever becomes of its log: what
/// finds no room is left out, and the log says so as soon as there is some.
#[derive(Clone)]
pub(crate) struct RunLog(Arc<Mutex<OpenLog>>);

struct OpenLog {
    path: PathBuf,
    file: File,
    length: u64,
    lost: LostLines,
}

impl RunLog {
    /// Goes on with a file, or makes it for the user alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = append_to(path)?;
        let length = file.metadata()?.len();
        let (path, lost) = (path.to_owned(), LostLines::default());
        Ok(Self(Arc::new(Mutex::new(OpenLog { path, file, length, lost }))))
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

impl OpenLog {
    /// Whole or not at all.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length > 0 && self.length + bytes.len() as u64 > RUN_LOG_BYTES {
            self.turn()?;
        }
        if let Err(error) = self.file.write_all(bytes) {
            // Half a line is none; if it stays, the next one is hard to read.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        match fs::rename(&self.path, old) {
            // An earlier try came no further.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = append_to(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = lock(&self.0);
        let mut text = log.lost.gap().map_or_else(Vec::new, |gap| format!("peapod | {gap}\n").into_bytes());
        text.extend_from_slice(bytes);
        match log.append(&text) {
            Ok(()) => log.lost.told(),
            Err(error) => {
                let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
                log.lost.add_some(lines as u64, &error);
            }
        }
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

    #[test]
    fn what_finds_no_room_is_left_out_and_the_log_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = RunLog::open(&path).unwrap();
        log.write_all(b"1\n").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let room = std::mem::replace(&mut lock(&log.0).file, full);
        for line in ["2\n", "3\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        lock(&log.0).file = room;
        for line in ["4\n", "5\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        let expected = "1\npeapod | 2 lines are left out here: No space left on device (os error 28)\n4\n5\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_log_that_cannot_be_set_aside_goes_on_once_it_can() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = RunLog::open(&path).unwrap();
        let line = [vec![b'x'; RUN_LOG_BYTES as usize - 1], b"\n".to_vec()].concat();
        log.write_all(&line).unwrap();
        fs::create_dir(dir.path().join("log.1")).unwrap();
        log.write_all(b"1\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), RUN_LOG_BYTES);
        fs::remove_dir(dir.path().join("log.1")).unwrap();
        log.write_all(b"2\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("peapod | 1 line is left out") && text.ends_with("\n2\n"), "{text}");
    }
}
