//! Files of a log that were set aside, as kubelets and `peapod run` do it: beside the log, with the time in their
//! names.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use time::OffsetDateTime;
use time::macros::format_description;

/// When a file was written to for the last time: names do not say the order.
type LastWrite = (i64, i64);

/// One of them.
#[derive(Debug)]
struct AsideFile {
    last: LastWrite,
    identity: (u64, u64),
    path: PathBuf,
}

fn last(found: &Metadata) -> LastWrite {
    (found.mtime(), found.mtime_nsec())
}

/// What is there of a log, the oldest first.
fn of(log: &Path) -> io::Result<Vec<AsideFile>> {
    let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let is_one = entry.file_name().as_encoded_bytes().strip_prefix(name.as_encoded_bytes()).is_some_and(is_time);
        // It may be removed at any moment.
        if let Some(found) = is_one.then(|| entry.metadata().ok()).flatten().filter(Metadata::is_file) {
            all.push(AsideFile { last: last(&found), identity: (found.dev(), found.ino()), path: entry.path() });
        }
    }
    all.sort_by_key(|one| one.last);
    Ok(all)
}

/// What follows the name of a log that was set aside: `.20240131-120000`.
fn is_time(end: &[u8]) -> bool {
    let shape = b".00000000-000000";
    let is_fit = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    end.len() == shape.len() && end.iter().zip(shape).all(is_fit)
}

/// The first of a log's files that were set aside, and that is still there.
pub(super) fn first(log: &Path) -> io::Result<Option<File>> {
    // The log's folder may be made later.
    let all = match of(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        all => all?,
    };
    opened(all.first())
}

/// The first that was set aside after this one: who reads slowly comes to it late.
pub(super) fn after(log: &Path, old: &Metadata) -> io::Result<Option<File>> {
    let identity = (old.dev(), old.ino());
    opened(of(log)?.iter().find(|one| one.last > last(old) && one.identity != identity))
}

fn opened(one: Option<&AsideFile>) -> io::Result<Option<File>> {
    match one.map(|one| File::open(&one.path)) {
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.transpose(),
    }
}

/// A log that was set aside, and to which nothing may lead by its name.
#[derive(Debug)]
pub(crate) struct LogSetAside {
    log: PathBuf,
    to: PathBuf,
}

impl LogSetAside {
    /// Sets a log aside if it has so many bytes. Nothing of that name is there then, until the runtime is told.
    ///
    /// # Errors
    /// If it is there and can't be renamed.
    pub(crate) fn of_large(log: &Path, bytes: u64, now: SystemTime) -> io::Result<Option<Self>> {
        match fs::metadata(log) {
            Ok(found) if found.len() >= bytes => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let shape = format_description!(".[year][month][day]-[hour][minute][second]");
        let end = OffsetDateTime::from(now).format(&shape).map_err(io::Error::other)?;
        let mut to = log.as_os_str().to_owned();
        to.push(end);
        let this = Self { log: log.to_owned(), to: to.into() };
        match renameat_with(CWD, &this.log, CWD, &this.to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(Some(this)),
            // Of the same second. It is large the next time, too.
            Err(rustix::io::Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The runtime writes into it still: gives it its name back, unless there is another one by now.
    pub(crate) fn put_back(self) {
        // Without its name it is read all the same, as one that was set aside.
        let _ = renameat_with(CWD, &self.to, CWD, &self.log, RenameFlags::NOREPLACE);
    }
}

/// Removes the oldest that were set aside of a log, but for so many.
pub(crate) fn keep_newest(log: &Path, count: usize) -> io::Result<()> {
    let all = of(log)?;
    for one in &all[..all.len().saturating_sub(count)] {
        match fs::remove_file(&one.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn large_logs_are_set_aside_and_the_newest_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        let aside = |second| LogSetAside::of_large(&log, 4, at(second)).unwrap();
        assert!(aside(0).is_none(), "not there yet");
        fs::write(&log, "abc").unwrap();
        assert!(aside(0).is_none());
        for second in 1..=4 {
            fs::write(&log, "abcd").unwrap();
            File::open(&log).unwrap().set_modified(at(second)).unwrap();
            assert!(aside(second).is_some());
        }
        assert!(!log.exists());
        fs::write(&log, "late").unwrap();
        assert!(aside(4).is_none() && log.exists(), "no file takes another one's place");
        // What is no part of the log stays.
        for other in ["0.log.gz", "0.log.20231114-221321.gz", "1.log.20231114-221321", "10.log"] {
            fs::write(dir.path().join(other), "").unwrap();
        }
        keep_newest(&log, 2).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        let own = ["0.log", "0.log.20231114-221321.gz", "0.log.20231114-221323", "0.log.20231114-221324", "0.log.gz"];
        assert_eq!(left, [&own[..], &["1.log.20231114-221321", "10.log"]].concat());
    }

    #[test]
    fn a_log_gets_its_name_back_unless_there_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        fs::write(&log, "old").unwrap();
        LogSetAside::of_large(&log, 1, SystemTime::now()).unwrap().unwrap().put_back();
        assert_eq!(fs::read_to_string(&log).unwrap(), "old");
        let aside = LogSetAside::of_large(&log, 1, SystemTime::now()).unwrap().unwrap();
        fs::write(&log, "new").unwrap();
        aside.put_back();
        assert_eq!(fs::read_to_string(&log).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
