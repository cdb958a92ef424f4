//! What a run looks after, for who takes it down: `subjects.json` in its folder.

use serde::{Deserialize, Serialize};

use super::folder::{RunFolder, read};
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
    /// The manifest, by its absolute path.
    pub(crate) file: Option<String>,
    /// It has ended by itself: the run starts nothing of it any more unless somebody changes it or asks.
    #[serde(default)]
    pub(crate) is_over: bool,
}

impl RunSubjects {
    /// Of what a run is for.
    pub(crate) fn new(endpoint: &str, workloads: impl IntoIterator<Item = KnownWorkload>) -> Self {
        Self { endpoint: endpoint.to_owned(), workloads: workloads.into_iter().collect() }
    }
}

impl KnownWorkload {
    /// One that is to run, or runs.
    pub(crate) fn on(workload: &Workload) -> Self {
        Self { named: NamedWorkload::of(workload), file: workload.file().map(str::to_owned), is_over: false }
    }

    /// One that has ended by itself.
    pub(crate) fn over(workload: &Workload) -> Self {
        Self { is_over: true, ..Self::on(workload) }
    }
}

/// What a run looks after.
pub(super) fn subjects(folder: &RunFolder) -> RunSubjects {
    folder.file(SUBJECTS).and_then(|file| read(&file)).unwrap_or_default()
}
