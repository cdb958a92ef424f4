//! What a run looks after, for who takes it down: `subjects.json` in its folder.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::{RUNS, RunFolder, read};
use crate::manifest::Workload;
use crate::manifest_files::NamedWorkload;

/// The file's name.
pub(super) const SUBJECTS: &str = "subjects.json";

/// What a run looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RunSubjects {
    /// The socket of its runtime; empty if an older peapod made the run.
    pub(crate) endpoint: String,
    pub(crate) workloads: Vec<KnownWorkload>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KnownWorkload {
    #[serde(flatten)]
    pub(crate) named: NamedWorkload,
    /// The manifest, by its absolute path; of standard input there is none.
    pub(crate) file: Option<String>,
    /// It has ended: the run starts nothing of it any more unless somebody changes it or asks.
    #[serde(default)]
    pub(crate) is_over: bool,
    /// If it has ended by itself, in which [wording](Workload::wording): then nobody who asks begins that again.
    #[serde(default)]
    pub(crate) ended_as: Option<String>,
    /// Of a Job, how many of its pods have ended well.
    #[serde(default)]
    pub(crate) done: u32,
}

impl RunSubjects {
    /// Of what a run is for.
    pub(crate) fn new(endpoint: &str, workloads: impl IntoIterator<Item = KnownWorkload>) -> Self {
        Self { endpoint: endpoint.to_owned(), workloads: workloads.into_iter().collect() }
    }

    /// Whether this has ended by itself, and is still what it was.
    pub(crate) fn has_ended(&self, wish: &Workload) -> bool {
        let named = NamedWorkload::of(wish);
        let known = self.workloads.iter().find(|known| known.named == named);
        known.is_some_and(|known| known.ended_as.as_ref() == Some(&wish.wording()))
    }

    /// How many pods of a Job have ended well.
    pub(crate) fn done(&self, named: &NamedWorkload) -> u32 {
        self.workloads.iter().find(|known| known.named == *named).map(|known| known.done).unwrap_or_default()
    }

    /// It has ended by itself.
    pub(crate) fn end(&mut self, workload: &Workload) {
        let known = KnownWorkload::ended(workload);
        self.workloads.retain(|other| other.named != known.named);
        self.workloads.push(known);
    }

    /// What is to run by these from now on: what has ended by itself is not begun again.
    pub(crate) fn continued<'a>(&'a self, wishes: &'a [Workload]) -> impl Iterator<Item = KnownWorkload> + use<'a> {
        let known = |wish| if self.has_ended(wish) { KnownWorkload::ended(wish) } else { KnownWorkload::on(wish) };
        wishes.iter().map(known)
    }
}

impl KnownWorkload {
    /// One that is to run, or runs.
    pub(crate) fn on(workload: &Workload) -> Self {
        let file = workload.file().map(str::to_owned);
        Self { named: NamedWorkload::of(workload), file, is_over: false, ended_as: None, done: 0 }
    }

    /// One of which nothing runs, as it could not be run or somebody ended it.
    pub(crate) fn cut(workload: &Workload) -> Self {
        Self { is_over: true, ..Self::on(workload) }
    }

    /// One that has ended by itself.
    pub(crate) fn ended(workload: &Workload) -> Self {
        Self { ended_as: Some(workload.wording()), ..Self::cut(workload) }
    }
}

/// What a run looks after.
pub(super) fn subjects(folder: &RunFolder) -> RunSubjects {
    folder.file(SUBJECTS).and_then(|file| read(&file)).unwrap_or_default()
}

/// Writes down what is known by now of a run that nobody looks after.
pub(crate) fn correct(base: &Path, id: &str, subjects: &RunSubjects) -> io::Result<()> {
    RunFolder::open(base, id).ok_or(io::ErrorKind::NotFound)?;
    let folder = base.join(RUNS).join(id);
    let own = folder.join(format!("new.{}", std::process::id()));
    std::fs::write(&own, serde_json::to_vec(subjects)?)?;
    std::fs::rename(&own, folder.join(SUBJECTS))
}
