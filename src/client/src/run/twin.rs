//! A pod of the same name that runs already: two of them could not be told apart afterwards.

use std::collections::BTreeMap;
use std::fmt;

use peapod_api::v1;

use super::off_thread::off_thread;
use super::{PodDir, RunError};
use crate::connect::{CriClient, QUICK, call};
use crate::manifest::Pod;
use crate::{labels, runs, select, targets, teardown};

/// A pod that has the name of one that is to be made.
#[derive(Debug)]
pub(crate) struct PodTwin {
    namespace: String,
    name: String,
    id: String,
    owner: TwinOwner,
}

/// Who looks after it.
#[derive(Debug)]
enum TwinOwner {
    /// Nobody that is known, or this run.
    Nobody,
    /// A run that lives.
    OtherRun { id: String, file: Option<String> },
    /// A run that was killed.
    KilledRun { id: String, file: Option<String> },
}

impl PodTwin {
    fn of(pod: &Pod, twin: &v1::PodSandbox, own_run: &str) -> Self {
        let run = targets::run_of(twin).and_then(|(base, id)| runs::known(&base, &id)).filter(|run| run.id != own_run);
        let file = twin.annotations.get(labels::RUN_FILE).cloned();
        let owner = match run {
            Some(run) if run.lives => TwinOwner::OtherRun { id: run.id, file },
            Some(run) => TwinOwner::KilledRun { id: run.id, file },
            None => TwinOwner::Nobody,
        };
        Self { namespace: pod.namespace.clone(), name: pod.name.clone(), id: select::short(&twin.id).to_owned(), owner }
    }

    /// Whether another run that lives looks after it.
    pub(crate) fn is_of_another_run(&self) -> bool {
        matches!(self.owner, TwinOwner::OtherRun { .. })
    }
}

impl fmt::Display for PodTwin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, name, id, owner } = self;
        write!(f, "pod {namespace}/{name} runs already, with the id {id}")?;
        match owner {
            TwinOwner::OtherRun { id: run, file: Some(file) } => {
                write!(
                    f,
                    ", of the run {run} of {file}: `peapod apply {file}` changes what has changed there, and `peapod down {file}` ends it"
                )?;
            }
            TwinOwner::OtherRun { id: run, file: None } => {
                write!(f, ", of the run {run} of standard input: stop it with `peapod stop {id}`")?;
            }
            TwinOwner::KilledRun { file: Some(file), .. } => {
                write!(
                    f,
                    ", of a run of {file} that was killed: `peapod apply {file}` goes on with that, and `peapod down {file}` ends it"
                )?;
            }
            TwinOwner::KilledRun { id: run, file: None } => {
                write!(f, ", of a run of standard input that was killed: end that with `peapod down {run}`")?;
            }
            TwinOwner::Nobody => write!(f, ": stop it with `peapod stop {id}`")?,
        }
        f.write_str(", or give this one another name")
    }
}

impl std::error::Error for PodTwin {}

/// Refuses a pod of which another one runs, for a run. What only tells that one of its name has ended goes, and so does
/// what tells it of earlier ones of its Job, and what a killed run has left of one that has stopped.
pub(super) async fn refuse(connection: &CriClient, pod: &Pod, own_run: &str) -> Result<(), RunError> {
    let job = pod.metadata.owner.as_ref().filter(|owner| owner.starts_with("Job/"));
    let mut labels = BTreeMap::from([(labels::NAMESPACE.to_owned(), pod.namespace.clone())]);
    if job.is_none() {
        labels.insert(labels::POD.to_owned(), pod.name.clone());
    }
    let has_name = |other: &v1::PodSandbox| other.labels.get(labels::POD) == Some(&pod.name);
    let is_earlier = |other: &v1::PodSandbox| {
        job.is_some() && other.annotations.get(labels::WORKLOAD) == job && !targets::is_ready(other)
    };
    let filter = v1::PodSandboxFilter { label_selector: labels, ..Default::default() };
    let request = v1::ListPodSandboxRequest { filter: Some(filter) };
    let mut client = connection.runtime.clone();
    let list = call("ListPodSandbox", QUICK, client.list_pod_sandbox(request)).await;
    let there = list.map_err(|source| RunError::Pod { source })?.items;
    if let Some(twin) = there.iter().find(|other| has_name(other) && targets::is_ready(other)) {
        return Err(Box::new(PodTwin::of(pod, twin, own_run)).into());
    }
    for other in there.iter().filter(|other| has_name(other) || is_earlier(other)) {
        let is_of_no_use = |dir: &PodDir| dir.tells_of_end() || has_name(other) && is_forsaken(other, own_run);
        let Some(dir) = PodDir::of(other).filter(is_of_no_use) else { continue };
        // What can't be removed is still listed, and `peapod down` says why it can't.
        if teardown::remove(connection, &other.id).await.is_empty() {
            let _ = off_thread(move || dir.remove()).await;
        }
    }
    Ok(())
}

/// Whether a run has left it that was killed, or whose place this one has taken, and that was to leave nothing.
fn is_forsaken(pod: &v1::PodSandbox, own_run: &str) -> bool {
    let run = targets::run_of(pod).and_then(|(base, id)| runs::known(&base, &id));
    run.is_some_and(|run| (!run.lives || run.id == own_run) && !run.options.keep)
}
