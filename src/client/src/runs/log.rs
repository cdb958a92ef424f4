//! Where a run writes that nobody watches: a file of bounded length, and the one before it.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use peapod_sys::sync::lock;
use peapod_sys::{LostLines, RollingFile};

use crate::bounds::RUN_LOG_BYTES;

/// The file; clones write to the same one. Writing never fails, as a run goes on whatever becomes of its log: what
/// finds no room is left out, and the log says so as soon as there is some.
#[derive(Clone)]
pub(crate) struct RunLog(Arc<Mutex<OpenLog>>);

struct OpenLog {
    file: RollingFile,
    lost: LostLines,
}

impl RunLog {
    /// Goes on with a file, or makes it for the user alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = RollingFile::open(path, RUN_LOG_BYTES, 0o600)?;
        Ok(Self(Arc::new(Mutex::new(OpenLog { file, lost: LostLines::default() }))))
    }
}

impl Write for RunLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = lock(&self.0);
        let mut text = log.lost.gap().map_or_else(Vec::new, |gap| format!("peapod | {gap}\n").into_bytes());
        text.extend_from_slice(bytes);
        match log.file.append(&text) {
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
    use std::fs;

    use super::*;

    #[test]
    fn what_can_not_be_written_is_left_out_and_the_log_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = RunLog::open(&path).unwrap();
        let long = [vec![b'x'; RUN_LOG_BYTES as usize - 1], b"\n".to_vec()].concat();
        log.write_all(&long).unwrap();
        // Then it can't be set aside.
        fs::create_dir(dir.path().join("log.1")).unwrap();
        log.write_all(b"1\n").unwrap();
        log.write_all(b"2\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), RUN_LOG_BYTES);
        fs::remove_dir(dir.path().join("log.1")).unwrap();
        log.write_all(b"3\n").unwrap();
        log.write_all(b"4\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("peapod | 2 lines are left out here: ") && text.ends_with("\n3\n4\n"), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
    }
}
