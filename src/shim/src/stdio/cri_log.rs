//! A container's log file. Written by the shim itself, so that no line is lost while the daemon is away; a disk that
//! refuses never stops the container: lines are counted, dropped, and the count is the first line written afterwards.
//! So are lines of a log that grows too fast.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::budget::LogBudget;
use super::lines::Lines;
use crate::{clock, log};

/// An open log.
#[derive(Debug)]
pub(crate) struct CriLog {
    path: PathBuf,
    file: File,
    /// Lines that were dropped since the last that was written.
    lost: u64,
    /// The file ends within a line.
    torn: bool,
    out: Vec<u8>,
    budget: Option<LogBudget>,
}

impl CriLog {
    /// Opens or makes the file. It may grow by so many bytes per second; 0 is no limit.
    pub(crate) fn open(path: &Path, rate: u64) -> io::Result<Self> {
        let budget = LogBudget::new(rate, Instant::now());
        Ok(Self { path: path.to_path_buf(), file: open(path)?, lost: 0, torn: false, out: Vec::new(), budget })
    }

    /// Opens the path anew, after somebody moved the file away. On an error writing goes on in the old one.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        self.torn = false;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what became whole by `bytes`.
    pub(crate) fn write(&mut self, lines: &mut Lines, bytes: &[u8]) {
        let time = clock::rfc3339(clock::now_ns());
        let mut out = std::mem::take(&mut self.out);
        lines.push(bytes, &time, &mut out);
        self.admit(&time, &out);
        self.keep(out);
    }

    /// Writes a last line that has no end, and how many were lost before it.
    pub(crate) fn finish(&mut self, lines: &mut Lines) {
        let time = clock::rfc3339(clock::now_ns());
        let mut out = Vec::new();
        lines.finish(&time, &mut out);
        if !out.is_empty() {
            self.admit(&time, &out);
        }
        if self.lost > 0 {
            self.flush(&time, &[]);
        }
    }

    /// Writes what may still be written.
    fn admit(&mut self, time: &str, out: &[u8]) {
        if out.is_empty() {
            return;
        }
        let fits = self.budget.as_mut().map_or(out.len(), |budget| budget.take(out, Instant::now()));
        let (written, dropped) = out.split_at(fits);
        if !written.is_empty() {
            self.flush(time, written);
        }
        self.lost += count(dropped);
    }

    /// The next write needs no new buffer, unless this one grew big.
    fn keep(&mut self, mut out: Vec<u8>) {
        if out.capacity() <= 4096 {
            out.clear();
            self.out = out;
        }
    }

    fn flush(&mut self, time: &str, out: &[u8]) {
        if self.torn || self.lost > 0 {
            let mut notice = if self.torn { String::from("\n") } else { String::new() };
            if self.lost > 0 {
                notice.push_str(&format!("{time} stderr F peapod: {} log lines were lost here\n", self.lost));
            }
            let (written, outcome) = write_all(&mut self.file, notice.as_bytes());
            if outcome.is_err() {
                // Once the torn line is ended it stays so; a torn notice is a torn line.
                self.torn = if written == 0 { self.torn } else { !notice[..written].ends_with('\n') };
                self.lost += count(out);
                return;
            }
            (self.torn, self.lost) = (false, 0);
        }
        let (written, outcome) = write_all(&mut self.file, out);
        if let Err(error) = outcome {
            self.torn = written > 0 && out[written - 1] != b'\n';
            self.lost += count(&out[written..]);
            log::warn("log lines are being dropped", &[("path", &self.path.display()), ("error", &error)]);
        }
    }
}

fn count(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Like `Write::write_all`, but tells how far it came.
fn write_all(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Never through a link at the last step, never anything but a file: a container may share the directory.
fn open(path: &Path) -> io::Result<File> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = openat(CWD, dir, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&dir, name, flags, Mode::from_raw_mode(0o640))?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is no regular file"));
    }
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    #[test]
    fn reopens_and_keeps_writing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = CriLog::open(&path, 0).unwrap();
        let mut lines = Lines::new("stdout");
        log.write(&mut lines, b"one\n");
        std::fs::rename(&path, dir.path().join("old.log")).unwrap();
        log.write(&mut lines, b"two\n");
        std::fs::create_dir(&path).unwrap();
        assert!(log.reopen().is_err());
        log.write(&mut lines, b"three\n");
        std::fs::remove_dir(&path).unwrap();
        log.reopen().unwrap();
        log.write(&mut lines, b"four\nfi");
        log.finish(&mut lines);
        assert_eq!(text(&dir.path().join("old.log")), ["stdout F one", "stdout F two", "stdout F three"]);
        assert_eq!(text(&path), ["stdout F four", "stdout P fi"]);
    }

    #[test]
    fn refuses_links_and_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("0.log");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(CriLog::open(&link, 0).is_err());
        assert!(CriLog::open(Path::new("/dev/null"), 0).is_err());
        assert!(CriLog::open(&dir.path().join("missing/0.log"), 0).is_err());
    }

    #[test]
    fn counts_what_a_full_disk_refuses() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = CriLog::open(&path, 0).unwrap();
        let mut lines = Lines::new("stdout");
        log.file = File::options().write(true).open("/dev/full").unwrap();
        log.write(&mut lines, b"one\ntwo\nthr");
        log.write(&mut lines, b"ee\n");
        log.reopen().unwrap();
        log.write(&mut lines, b"four\n");
        assert_eq!(text(&path), ["stderr F peapod: 3 log lines were lost here", "stdout F four"]);
    }

    #[test]
    fn counts_what_would_grow_it_too_fast() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = CriLog::open(&path, 10_000).unwrap();
        let mut lines = Lines::new("stdout");
        // Two bytes for the container, some forty on disk.
        for _ in 0..2000 {
            log.write(&mut lines, b"\n\n");
        }
        log.finish(&mut lines);
        let size = std::fs::metadata(&path).unwrap().len();
        assert!((40_000..100_000).contains(&size), "{size}");
        let text = text(&path);
        let (mut kept, mut lost) = (0, 0);
        for line in &text {
            match line.strip_prefix("stderr F peapod: ").and_then(|rest| rest.split_once(' ')) {
                Some((count, _)) => lost += count.parse::<u64>().unwrap(),
                None => kept += 1,
            }
        }
        assert!(lost > 0 && text.last().unwrap().contains("lost here"), "{:?}", text.last());
        assert_eq!(kept + lost, 4000);
    }
}
