//! `<run dir>/runs/<id>`: held by a lock as long as the process lives that looks after the run's pods.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::folder::{RUNS, RunFolder};

/// What is known of a run, whose lock this file is.
const FACTS: &str = "run.json";
/// What became of the last time that its files were read.
const APPLIED: &str = "applied.json";
/// How long a process may take to end after its pods.
const END: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const POLL: Duration = Duration::from_millis(50);
/// No record is longer.
const LONGEST: u64 = 1 << 20;

/// What others may know of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct KnownRun {
    pub(crate) id: String,
    /// Of the process that looks after it.
    pub(crate) pid: i32,
    /// Absolute paths of its manifests.
    pub(crate) files: Vec<String>,
    /// Nobody watches it.
    pub(crate) detached: bool,
    /// Whether that process lives; not in the file.
    #[serde(skip)]
    pub(crate) lives: bool,
}

/// What became of files that were read once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct AppliedFiles {
    /// How often they were.
    pub(crate) times: u64,
    /// 0, or the exit status of `peapod apply`.
    pub(crate) status: u8,
    /// What was done, or why nothing.
    pub(crate) lines: Vec<String>,
}

/// This process' own run. Its folder goes with it.
pub(crate) struct RunRecord {
    base: PathBuf,
    folder: PathBuf,
    pub(crate) id: String,
    /// Locked.
    _lock: File,
}

impl RunRecord {
    /// The folder of a run to be, for the user alone.
    pub(crate) fn prepare(base: &Path, id: &str) -> io::Result<PathBuf> {
        let folder = base.join(RUNS).join(id);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        match RunFolder::open(base, id) {
            Some(_) => Ok(folder),
            None => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} is a link, or another user may write into it: remove it, or name another folder by --dir",
                    base.join(RUNS).display()
                ),
            )),
        }
    }

    /// Writes down that this process looks after a run.
    pub(crate) fn begin(base: &Path, id: &str, files: Vec<String>, detached: bool) -> io::Result<Self> {
        let folder = Self::prepare(base, id)?;
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let facts = KnownRun { id: id.to_owned(), pid, files, detached, lives: true };
        let (path, own) = (folder.join(FACTS), folder.join("new"));
        fs::write(&own, serde_json::to_vec(&facts)?)?;
        let lock = File::open(&own)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        // Locked before anybody can find it.
        fs::rename(&own, &path)?;
        Ok(Self { base: base.to_owned(), folder, id: id.to_owned(), _lock: lock })
    }

    /// Tells `peapod apply` what became of it.
    pub(crate) fn tell(&self, applied: &AppliedFiles) -> io::Result<()> {
        let own = self.folder.join("new");
        fs::write(&own, serde_json::to_vec(applied)?)?;
        fs::rename(own, self.folder.join(APPLIED))
    }

    /// Where it writes what nobody watches.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

impl Drop for RunRecord {
    fn drop(&mut self) {
        forget(&self.base, &self.id);
    }
}

impl KnownRun {
    /// Whether a file is one of its manifests, or in one of its folders.
    pub(crate) fn is_of(&self, file: &str) -> bool {
        let folder = Path::new(file).parent();
        self.files.iter().any(|own| own == file || folder == Some(Path::new(own)))
    }

    /// What became of its files when they were read last.
    pub(crate) fn applied(&self, base: &Path) -> AppliedFiles {
        let file = RunFolder::open(base, &self.id).and_then(|folder| folder.file(APPLIED));
        file.and_then(|file| read(&file)).unwrap_or_default()
    }

    /// Removes what one has left that was killed.
    pub(crate) fn forget(&self, base: &Path) {
        forget(base, &self.id);
    }
}

/// A run by its id, where only this user can have written it down.
pub(crate) fn known(base: &Path, id: &str) -> Option<KnownRun> {
    let file = RunFolder::open(base, id)?.file(FACTS)?;
    let known: KnownRun = read(&file)?;
    let lives = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    // To others it means many processes, or the one that must not end.
    (known.pid > 1).then(|| KnownRun { id: id.to_owned(), lives, ..known })
}

/// All runs of which one of these files is.
pub(crate) fn find(base: &Path, files: &[String]) -> Vec<KnownRun> {
    let Ok(entries) = base.join(RUNS).read_dir() else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<KnownRun> = ids.filter_map(|id| known(base, &id)).collect();
    found.retain(|run| files.iter().any(|file| run.is_of(file)));
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

/// Waits until a process has ended that looks after nothing any more; then nothing of its run is left.
pub(crate) async fn ended(base: &Path, id: &str) {
    let begun = Instant::now();
    while begun.elapsed() < END && known(base, id).is_some_and(|run| run.lives) {
        tokio::time::sleep(POLL).await;
    }
    if let Some(run) = known(base, id).filter(|run| !run.lives) {
        run.forget(base);
    }
}

fn read<T: for<'de> Deserialize<'de>>(file: &File) -> Option<T> {
    serde_json::from_reader(io::Read::take(file, LONGEST)).ok()
}

fn forget(base: &Path, id: &str) {
    if let Some(folder) = RunFolder::open(base, id) {
        folder.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_and_its_end_seen() {
        let dir = tempfile::tempdir().unwrap();
        let own = RunRecord::begin(dir.path(), "ab12", vec!["/a.yaml".into()], true).unwrap();
        let run = known(dir.path(), "ab12").unwrap();
        assert!(run.lives && run.detached && run.pid > 0, "{run:?}");
        assert_eq!(find(dir.path(), &["/b.yaml".into(), "/a.yaml".into()]), std::slice::from_ref(&run));
        assert_eq!(find(dir.path(), &["/b.yaml".into()]), []);
        assert!(run.is_of("/a.yaml/in.yaml") && !run.is_of("/a.yaml/further/in.yaml"));
        let applied = AppliedFiles { times: 2, status: 1, lines: vec!["web: replaced".into()] };
        own.tell(&applied).unwrap();
        assert_eq!(run.applied(dir.path()), applied);
        drop(own);
        assert_eq!(known(dir.path(), "ab12"), None);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        assert_eq!(known(dir.path(), "../.."), None);
    }

    #[test]
    fn one_that_was_killed_is_known_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunRecord::prepare(dir.path(), "ff").unwrap();
        fs::write(folder.join(FACTS), r#"{"id":"other","pid":2147483647,"files":["/a"],"new":[]}"#).unwrap();
        let run = known(dir.path(), "ff").unwrap();
        assert!(!run.lives && run.id == "ff", "{run:?}");
        run.forget(dir.path());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_signals_many_is_no_process_of_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunRecord::prepare(dir.path(), "ab").unwrap();
        for pid in [i32::MIN, -2, -1, 0, 1] {
            fs::write(folder.join(FACTS), format!(r#"{{"id":"ab","pid":{pid},"files":["/a"]}}"#)).unwrap();
            assert_eq!(known(dir.path(), "ab"), None, "{pid}");
            assert_eq!(find(dir.path(), &["/a".into()]), [], "{pid}");
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_record_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunRecord::prepare(dir.path(), "ab").unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join(FACTS), mode).unwrap();
        assert_eq!(known(dir.path(), "ab"), None);
    }

    #[test]
    fn runs_of_others_are_no_place_for_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let (base, other) = (dir.path().join("base"), dir.path().join("other"));
        fs::create_dir_all(other.join("ab")).unwrap();
        fs::create_dir(&base).unwrap();
        std::os::unix::fs::symlink(&other, base.join(RUNS)).unwrap();
        fs::write(other.join("ab").join(FACTS), r#"{"id":"ab","pid":2147483647}"#).unwrap();
        assert_eq!(known(&base, "ab"), None);
        KnownRun { id: "ab".into(), ..KnownRun::default() }.forget(&base);
        assert!(other.join("ab").join(FACTS).exists());
        assert!(RunRecord::prepare(&base, "ab").unwrap_err().to_string().contains("is a link"));
    }
}
