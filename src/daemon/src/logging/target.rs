//! Where lines go, and what becomes of those for which there is no room: they are counted, and the next one that can be
//! written comes after a line that says so.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use peapod_sys::sync::lock;
use peapod_sys::{LostLines, RollingFile};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::args::LogFormat;
use crate::bounds::LOG_FILE_BYTES;

/// Clones write to the same place.
#[derive(Clone)]
pub(super) struct LogTarget(Arc<Mutex<LogDestination>>);

struct LogDestination {
    to: Box<dyn Write + Send>,
    lost: LostLines,
}

impl fmt::Debug for LogTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogTarget").finish_non_exhaustive()
    }
}

impl LogTarget {
    pub(super) fn new(to: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(LogDestination { to: Box::new(to), lost: LostLines::default() })))
    }

    /// Goes on in a file, of bounded length.
    pub(super) fn go_on_in(&self, path: &Path) -> anyhow::Result<()> {
        let opened = RollingFile::open(path, LOG_FILE_BYTES, 0o640);
        let failed = || format!("cannot log to {}: name a regular file, or leave --log-file out", path.display());
        lock(&self.0).to = Box::new(WholeLines(opened.with_context(failed)?));
        Ok(())
    }

    /// Writes a line, of this form as is what has to be said before it. Never fails: the daemon goes on whatever
    /// becomes of its log.
    pub(super) fn line(&self, form: LogFormat, line: &str) {
        let mut log = lock(&self.0);
        let gap = log.lost.gap().map(|gap| gap_line(form, &gap));
        let text = [gap.as_deref().unwrap_or_default(), line].concat();
        match log.to.write_all(text.as_bytes()) {
            Ok(()) => log.lost.told(),
            Err(error) => {
                // Said once something can be written.
                let _ = log.lost.add(&error);
            }
        }
    }
}

/// As the library would write it.
fn gap_line(form: LogFormat, gap: &str) -> String {
    let mut time = String::new();
    // Without it the line says as much.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    match form {
        LogFormat::Text => format!("{time}  WARN {}: {gap}\n", module_path!()),
        LogFormat::Json => {
            let object =
                serde_json::json!({ "timestamp": time, "level": "WARN", "message": gap, "target": module_path!() });
            format!("{object}\n")
        }
    }
}

/// Each piece goes into one file, or nowhere.
struct WholeLines(RollingFile);

impl Write for WholeLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes).map(|()| bytes.len())
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
    fn a_file_gets_lines_of_which_it_keeps_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let target = LogTarget::new(io::sink());
        target.go_on_in(&path).unwrap();
        let line = "x".repeat(1 << 20);
        for _ in 0..40 {
            target.line(LogFormat::Text, &line);
        }
        let lengths: Vec<u64> =
            dir.path().read_dir().unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert!(lengths.len() == 2 && lengths.iter().all(|length| *length <= LOG_FILE_BYTES), "{lengths:?}");
        let refused = target.go_on_in(&path.join("below")).unwrap_err().to_string();
        assert!(refused.starts_with("cannot log to "), "{refused}");
    }

    #[test]
    fn what_can_not_be_written_is_counted_and_said_once() {
        for form in [LogFormat::Text, LogFormat::Json] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log");
            let full = fs::File::options().write(true).open("/dev/full").unwrap();
            let target = LogTarget::new(full);
            for line in ["1\n", "2\n"] {
                target.line(form, line);
            }
            target.go_on_in(&path).unwrap();
            for line in ["3\n", "4\n"] {
                target.line(form, line);
            }
            let text = fs::read_to_string(&path).unwrap();
            let (said, rest) = text.split_once('\n').unwrap();
            assert_eq!(rest, "3\n4\n");
            assert!(said.contains("2 lines are left out here: No space left"), "{said}");
            match form {
                LogFormat::Text => {
                    assert!(said.starts_with("20") && said.contains("Z  WARN peapod_daemon::"), "{said}");
                }
                LogFormat::Json => {
                    let object: serde_json::Value = serde_json::from_str(said).unwrap();
                    assert!(
                        object["level"] == "WARN" && object["timestamp"].as_str().unwrap().ends_with('Z'),
                        "{said}"
                    );
                }
            }
        }
    }
}
