//! `<run dir>/runs/<id>`: held by a lock as long as the process lives that looks after the run's pods.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::folder::{FACTS, RUNS, RunFolder, read};
use super::options::RunOptions;
use super::pod_folders::is_left;
use super::prepared::PreparedRun;
use super::subjects::{RunSubjects, subjects};
use crate::manifest_files::ManifestIdentity;

/// What becomes one of them.
pub(super) const NEW: &str = "new";
/// How often, and after which pauses, a record is tried to be taken up.
const TRIES: usize = 50;
const MOMENT: Duration = Duration::from_millis(2);
/// How long a process may take to end after its pods.
pub(super) const END: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
pub(super) const POLL: Duration = Duration::from_millis(50);

/// What others may know of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct KnownRun {
    pub(crate) id: String,
    /// Of the process that looks after it.
    pub(crate) pid: i32,
    /// Absolute paths of its manifests.
    pub(crate) files: Vec<String>,
    #[serde(flatten)]
    pub(crate) options: RunOptions,
    /// Whether that process lives; not in the file.
    #[serde(skip)]
    pub(crate) lives: bool,
    /// What it looks after, which is in a file of its own.
    #[serde(skip)]
    pub(crate) subjects: RunSubjects,
}

/// This process' own run. Its folder goes with it, unless something of its pods is left: then it tells, until that is
/// gone, what the run was.
pub(crate) struct RunRecord {
    base: PathBuf,
    prepared: PreparedRun,
    pub(crate) id: String,
    /// Locked.
    _lock: File,
}

impl RunRecord {
    /// Writes down that this process looks after a run, which may be one that an earlier process looked after.
    pub(crate) fn begin(
        base: &Path,
        id: &str,
        (files, subjects): (Vec<String>, RunSubjects),
        options: RunOptions,
    ) -> io::Result<Self> {
        let prepared = PreparedRun::make(base, id)?;
        let folder = prepared.folder.clone();
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let facts = KnownRun { id: id.to_owned(), pid, files, options, ..KnownRun::default() };
        let (path, own) = (folder.join(FACTS), folder.join("new.json"));
        // Until others see that this process has it.
        let _before = take_up(&path)?;
        fs::write(&own, serde_json::to_vec(&facts)?)?;
        let lock = File::open(&own)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let this = Self { base: base.to_owned(), prepared, id: id.to_owned(), _lock: lock };
        // Locked before anybody can find it.
        this.looks_after(&subjects)?;
        this.reserve_answer()?;
        fs::rename(&own, &path)?;
        Ok(this)
    }

    /// Puts a file into its folder, at once as a whole.
    pub(super) fn put(&self, name: &str, text: &[u8]) -> io::Result<()> {
        let own = self.prepared.folder.join(NEW);
        fs::write(&own, text).and_then(|()| fs::rename(&own, self.prepared.folder.join(name)))
    }

    pub(super) fn base(&self) -> &Path {
        &self.base
    }

    pub(super) fn folder(&self) -> &Path {
        &self.prepared.folder
    }

    /// Where it writes what nobody watches.
    pub(crate) fn log(&self) -> PathBuf {
        self.prepared.folder.join("log")
    }
}

/// Removes the folder of a run that was to be and never began.
pub(crate) fn abandon(base: &Path, id: &str) {
    if let Some(folder) = RunFolder::open(base, id).filter(|folder| folder.file(FACTS).is_none()) {
        folder.remove();
    }
}

impl Drop for RunRecord {
    fn drop(&mut self) {
        if !is_left(&self.base, &self.id) {
            forget(&self.base, &self.id);
        }
    }
}

/// The record of a run that nobody looks after, held so that nobody else takes it up; nothing if there is none.
fn take_up(path: &Path) -> io::Result<Option<File>> {
    for _ in 0..TRIES {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if file.metadata()?.nlink() > 0 => return Ok(Some(file)),
            // Who looks whether a run lives holds it for a moment.
            Ok(()) | Err(Errno::WOULDBLOCK) => std::thread::sleep(MOMENT),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("another process looks after this run already"))
}

impl KnownRun {
    /// Whether a file is one of its manifests, or in one of its folders.
    pub(crate) fn is_of(&self, file: &str) -> bool {
        let file = ManifestIdentity::of(file);
        self.files.iter().map(|own| ManifestIdentity::of(own)).any(|own| own.is(&file) || file.is_in(&own))
    }

    /// Removes what one has left that was killed.
    pub(crate) fn forget(&self, base: &Path) {
        forget(base, &self.id);
    }
}

/// A run by its id, where only this user can have written it down.
pub(crate) fn known(base: &Path, id: &str) -> Option<KnownRun> {
    let folder = RunFolder::open(base, id)?;
    let file = folder.file(FACTS)?;
    let known: KnownRun = read(&file)?;
    let lives = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    // To others it means many processes, or the one that must not end.
    (known.pid > 1).then(|| KnownRun { id: id.to_owned(), lives, subjects: subjects(&folder), ..known })
}

/// What may be ids of runs.
fn ids(base: &Path) -> impl Iterator<Item = String> {
    let entries = base.join(RUNS).read_dir().into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

/// All runs.
pub(crate) fn all(base: &Path) -> Vec<KnownRun> {
    ids(base).filter_map(|id| known(base, &id)).collect()
}

/// Removes what killed runs have left, but for those of which something else is left.
pub(crate) fn forget_lost(base: &Path, wanted: &BTreeSet<String>) {
    for id in ids(base).filter(|id| !wanted.contains(id)) {
        match known(base, &id) {
            Some(run) if run.lives => {}
            Some(run) => run.forget(base),
            // Of one that was killed before it was written down, or while it was removed.
            None => RunFolder::open(base, &id).map(RunFolder::remove_lost).unwrap_or_default(),
        }
    }
}

/// All runs of which one of these files is.
pub(crate) fn find(base: &Path, files: &[String]) -> Vec<KnownRun> {
    let mut found: Vec<_> = ids(base).filter_map(|id| known(base, &id)).collect();
    found.retain(|run| files.iter().any(|file| run.is_of(file)));
    found.sort_by(|one, other| one.id.cmp(&other.id));
    found
}

/// Waits until a process has ended that looks after nothing any more; then nothing of its run is left but what is known
/// of pods of which something is.
pub(crate) async fn ended(base: &Path, id: &str) {
    let begun = Instant::now();
    while begun.elapsed() < END && known(base, id).is_some_and(|run| run.lives) {
        tokio::time::sleep(POLL).await;
    }
    if let Some(run) = known(base, id).filter(|run| !run.lives && !is_left(base, id)) {
        run.forget(base);
    }
}

fn forget(base: &Path, id: &str) {
    if let Some(folder) = RunFolder::open(base, id) {
        folder.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::super::applied::AppliedFiles;
    use super::*;

    #[test]
    fn a_run_is_known_and_its_end_seen() {
        let dir = tempfile::tempdir().unwrap();
        let options = RunOptions { detached: true, keep: true, ..RunOptions::default() };
        let own =
            RunRecord::begin(dir.path(), "ab12", (vec!["/a.yaml".into()], RunSubjects::default()), options).unwrap();
        let run = known(dir.path(), "ab12").unwrap();
        assert!(run.lives && run.options.detached && run.options.keep && run.pid > 0, "{run:?}");
        assert_eq!(find(dir.path(), &["/b.yaml".into(), "/a.yaml".into()]), std::slice::from_ref(&run));
        assert_eq!(find(dir.path(), &["/b.yaml".into()]), []);
        assert!(run.is_of("/a.yaml/in.yaml") && !run.is_of("/a.yaml/further/in.yaml"));
        let applied = AppliedFiles { times: 2, status: 1, lines: vec!["web: replaced".into()], untold: 0 };
        own.tell(&applied).unwrap();
        assert_eq!(run.applied(dir.path()), applied);
        assert_eq!(run.waits(dir.path()), [""; 0]);
        own.waits_for(&["pod a: x".to_owned()]).unwrap();
        assert_eq!(run.waits(dir.path()), ["pod a: x"]);
        drop(own);
        assert_eq!(known(dir.path(), "ab12"), None);
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        assert_eq!(known(dir.path(), "../.."), None);
    }

    #[test]
    fn one_that_was_killed_is_known_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PreparedRun::make(dir.path(), "ff").unwrap().folder;
        fs::write(folder.join(FACTS), r#"{"id":"other","pid":2147483647,"files":["/a"],"new":[]}"#).unwrap();
        let run = known(dir.path(), "ff").unwrap();
        assert!(!run.lives && run.id == "ff", "{run:?}");
        run.forget(dir.path());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn one_that_was_killed_is_taken_up_by_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PreparedRun::make(dir.path(), "ab").unwrap().folder;
        fs::write(folder.join(FACTS), r#"{"id":"ab","pid":2147483647,"detached":true,"files":["/a"]}"#).unwrap();
        assert!(known(dir.path(), "ab").is_some_and(|run| run.options.detached && !run.options.keep), "an older one's");
        let begin = || RunRecord::begin(dir.path(), "ab", (vec!["/b".into()], Default::default()), Default::default());
        let own = begin().unwrap();
        assert!(begin().err().unwrap().to_string().contains("another process looks after"));
        let run = known(dir.path(), "ab").unwrap();
        assert!(run.lives && run.files == ["/b"], "{run:?}");
        drop(own);
        assert_eq!(known(dir.path(), "ab"), None);
    }

    #[test]
    fn what_signals_many_is_no_process_of_a_run() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PreparedRun::make(dir.path(), "ab").unwrap().folder;
        for pid in [i32::MIN, -2, -1, 0, 1] {
            fs::write(folder.join(FACTS), format!(r#"{{"id":"ab","pid":{pid},"files":["/a"]}}"#)).unwrap();
            assert_eq!(known(dir.path(), "ab"), None, "{pid}");
            assert_eq!(find(dir.path(), &["/a".into()]), [], "{pid}");
        }
    }

    #[test]
    fn a_pipe_in_place_of_a_record_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let folder = PreparedRun::make(dir.path(), "ab").unwrap().folder;
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
        assert!(PreparedRun::make(&base, "ab").err().unwrap().to_string().contains("is a link"));
    }

    #[test]
    fn only_a_run_that_never_began_is_abandoned() {
        let dir = tempfile::tempdir().unwrap();
        PreparedRun::make(dir.path(), "ab").unwrap();
        let own = RunRecord::begin(dir.path(), "cd", Default::default(), RunOptions::default()).unwrap();
        abandon(dir.path(), "ab");
        abandon(dir.path(), "cd");
        abandon(dir.path(), "ef");
        assert!(!dir.path().join(RUNS).join("ab").exists() && known(dir.path(), "cd").is_some());
        drop(own);
    }

    #[test]
    fn what_never_became_a_run_goes_with_what_killed_ones_have_left() {
        let dir = tempfile::tempdir().unwrap();
        let being = PreparedRun::make(dir.path(), "ab").unwrap();
        fs::write(PreparedRun::make(dir.path(), "cd").unwrap().folder.join("stderr"), "x").unwrap();
        for id in ["de", "ef"] {
            fs::write(PreparedRun::make(dir.path(), id).unwrap().folder.join(FACTS), "{").unwrap();
        }
        // An older peapod's, which says that it lives with this file alone.
        let older = File::open(dir.path().join(RUNS).join("de").join(FACTS)).unwrap();
        flock(&older, FlockOperation::LockExclusive).unwrap();
        forget_lost(dir.path(), &["cd".to_owned()].into());
        let mut left: Vec<_> = ids(dir.path()).collect();
        left.sort();
        assert_eq!(left, ["ab", "cd", "de"]);
        drop((being, older));
        forget_lost(dir.path(), &BTreeSet::new());
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    }
}
