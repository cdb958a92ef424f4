//! Runs that are about to begin: `run -d` makes the folder of one, and holds a lock in it, before its process is there.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};

use super::folder::{FACTS, RUNS, RunFolder};
use super::record::{END, POLL};

/// Where the process that looks after it writes what it says in no other way; locked from before that process is there.
pub(crate) const LAST_WORDS: &str = "stderr";

/// Waits until all that were begun this moment can be found.
pub(crate) async fn settled(base: &Path) {
    let begun = Instant::now();
    while begun.elapsed() < END && is_one_beginning(base) {
        tokio::time::sleep(POLL).await;
    }
}

fn is_one_beginning(base: &Path) -> bool {
    let Ok(entries) = base.join(RUNS).read_dir() else { return false };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ids.filter_map(|id| RunFolder::open(base, &id)).any(|folder| {
        // Held by who begins it, and by nobody once that one has died.
        let held = |file: File| flock(&file, FlockOperation::NonBlockingLockShared).is_err();
        folder.file(LAST_WORDS).is_some_and(held) && folder.file(FACTS).is_none()
    })
}

#[cfg(test)]
mod tests {
    use super::super::prepared::PreparedRun;
    use super::super::record::{RunRecord, all};
    use super::*;

    #[tokio::test]
    async fn one_that_is_about_to_begin_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let words = File::create(PreparedRun::make(dir.path(), "ab").unwrap().folder.join(LAST_WORDS)).unwrap();
        assert!(!is_one_beginning(dir.path()), "nobody begins it");
        flock(&words, FlockOperation::LockExclusive).unwrap();
        assert!(is_one_beginning(dir.path()));
        let own = RunRecord::begin(dir.path(), "ab", Default::default(), Default::default()).unwrap();
        settled(dir.path()).await;
        assert_eq!(all(dir.path()).len(), 1);
        drop(own);
    }
}
