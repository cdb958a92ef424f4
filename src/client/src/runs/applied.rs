//! What a run tells `peapod apply`: what became of its files, and for what a change waits.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use peapod_text::shortened;
use serde::{Deserialize, Serialize};

use super::folder::{RunFolder, read};
use super::record::{KnownRun, NEW, RunRecord};
use crate::bounds::{APPLIED_BYTES, APPLIED_LINE_BYTES};

/// The least that file systems have for a file in which anything is.
const BLOCK: usize = 4096;
/// What became of the last time that its files were read.
const APPLIED: &str = "applied.json";
/// For what its last change waits.
const WAITS: &str = "waits.json";

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
    /// How often it could not be told; not in the file.
    #[serde(skip)]
    pub(crate) untold: u32,
}

impl RunRecord {
    /// Has room for an answer, also when the disk is full by then.
    pub(super) fn reserve_answer(&self) -> io::Result<()> {
        self.put(APPLIED, &serde_json::to_vec(&AppliedFiles::default())?)
    }

    /// Tells `peapod apply` what became of it, in a word where there is no room for more. Who waits for it waits until
    /// it is told: after an error it has to be told later.
    pub(crate) fn tell(&self, applied: &AppliedFiles) -> io::Result<()> {
        let told = applied.tell(|text| self.put(APPLIED, text).or_else(|error| self.overwrite(text).or(Err(error))));
        // Not there, or of no use.
        let _ = std::fs::remove_file(self.folder().join(NEW));
        told
    }

    /// Writes a text over the last one, if that has as many blocks. Who reads it meanwhile may read nonsense, which is
    /// no answer, and reads it again.
    fn overwrite(&self, text: &[u8]) -> io::Result<()> {
        let last = File::options().write(true).open(self.folder().join(APPLIED))?;
        let there = usize::try_from(last.metadata()?.len()).map_err(io::Error::other)?;
        if text.len() > there.next_multiple_of(BLOCK) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let length = there.max(text.len());
        let mut whole = text.to_vec();
        whole.resize(length, b' ');
        last.write_all_at(&whole, 0)
    }

    /// Tells `peapod apply` for what it waits.
    pub(crate) fn waits_for(&self, lines: &[String]) -> io::Result<()> {
        self.put(WAITS, &serde_json::to_vec(&bounded(lines))?)
    }
}

impl KnownRun {
    /// What became of its files when they were read last.
    pub(crate) fn applied(&self, base: &Path) -> AppliedFiles {
        let file = RunFolder::open(base, &self.id).and_then(|folder| folder.file(APPLIED));
        file.and_then(|file| read(&file)).unwrap_or_default()
    }

    /// For what its last change waits.
    pub(crate) fn waits(&self, base: &Path) -> Vec<String> {
        let file = RunFolder::open(base, &self.id).and_then(|folder| folder.file(WAITS));
        file.and_then(|file| read(&file)).unwrap_or_default()
    }
}

impl AppliedFiles {
    /// Whole if it can be written so.
    fn tell(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let whole = Self { lines: bounded(&self.lines), ..self.clone() };
        write(&serde_json::to_vec(&whole)?).or_else(|error| {
            let line = format!("done; what, can't be told: {error}");
            let lines = vec![if self.status == 0 { line } else { format!("not all is as it should be; {line}") }];
            write(&serde_json::to_vec(&Self { lines, ..*self })?)
        })
    }
}

fn bounded(lines: &[String]) -> Vec<String> {
    let (mut kept, mut left) = (Vec::new(), APPLIED_BYTES);
    for (number, line) in lines.iter().enumerate() {
        let line = shortened(line, APPLIED_LINE_BYTES);
        match left.checked_sub(line.len() + 1) {
            Some(rest) => left = rest,
            None => {
                kept.push(format!("and {} lines more", lines.len() - number));
                break;
            }
        }
        kept.push(line.into_owned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::record::known;
    use super::*;

    #[test]
    fn what_was_done_is_told_however_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let own = RunRecord::begin(dir.path(), "ab", Default::default(), Default::default()).unwrap();
        let run = known(dir.path(), "ab").unwrap();
        let lines = vec!["\u{1}".repeat(APPLIED_LINE_BYTES * 2); 10_000];
        own.tell(&AppliedFiles { times: 1, lines, ..AppliedFiles::default() }).unwrap();
        let told = run.applied(dir.path());
        assert_eq!(told.times, 1);
        assert!(told.lines.iter().map(String::len).sum::<usize>() < 2 * APPLIED_BYTES);
        assert_eq!(told.lines.last().unwrap(), &format!("and {} lines more", 10_000 - (told.lines.len() - 1)));
    }

    #[test]
    fn without_room_a_word_is_told_or_it_is_an_error() {
        let applied = AppliedFiles { times: 3, status: 1, lines: vec!["x".repeat(500)], ..AppliedFiles::default() };
        let mut written = Vec::new();
        let told = applied.tell(|text| {
            if text.len() > 300 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written = text.to_vec();
            Ok(())
        });
        let short: AppliedFiles = serde_json::from_slice(&written).unwrap();
        assert!(told.is_ok() && (short.times, short.status) == (3, 1) && short.lines.len() == 1, "{short:?}");
        let dir = tempfile::tempdir().unwrap();
        let own = RunRecord::begin(dir.path(), "ab", Default::default(), Default::default()).unwrap();
        let told = |times: u64, length: usize| {
            let lines = vec!["x".repeat(length)];
            std::os::unix::fs::symlink("/dev/full", own.folder().join(NEW)).unwrap();
            let told = own.tell(&AppliedFiles { times, status: 0, lines, untold: 0 });
            told.map(|()| known(dir.path(), "ab").unwrap().applied(dir.path()))
        };
        // Over what was there from the beginning, also once more.
        for (times, length) in [(1, 500), (2, 50), (3, 600)] {
            let told = told(times, length).unwrap();
            assert_eq!((told.times, told.lines[0].len()), (times, length));
        }
        let long = told(4, 2 * BLOCK).unwrap();
        assert!(long.times == 4 && long.lines[0].starts_with("done; what, can't be told: "), "{long:?}");
        std::fs::remove_file(own.folder().join(APPLIED)).unwrap();
        assert!(told(5, 50).is_err());
        own.tell(&applied).unwrap();
        assert_eq!(known(dir.path(), "ab").unwrap().applied(dir.path()), applied, "told later");
    }
}
