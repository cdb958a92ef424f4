//! Finds what a user names among the pods of the runtime, those that are being made, and runs.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use peapod_api::v1;

use super::{FoundPods, FoundRun, Targets, is_of_kubelet, is_of_run, run_of, workload_of};
use crate::connect::{CallError, CriClient};
use crate::manifest::MAX_LENGTH;
use crate::manifest_files::{self, ManifestIdentity, NamedWorkload};
use crate::run::PodBeingMade;
use crate::runs::{self, KnownRun, KnownWorkload};
use crate::select::{self, SelectError};
use crate::{cli, labels};

/// All that there is.
#[derive(Default)]
pub(crate) struct Whole {
    /// The oldest first; those that are being made have no ids.
    pub(crate) pods: Vec<v1::PodSandbox>,
    /// Those that are being made once more.
    pub(crate) being_made: Vec<PodBeingMade>,
    /// Runs that live and use this runtime, each with its folder.
    pub(crate) runs: Vec<(PathBuf, KnownRun)>,
}

/// One file that was named.
struct NamedFile {
    identity: ManifestIdentity,
    workloads: Vec<NamedWorkload>,
}

impl Whole {
    /// Looks at it.
    pub(crate) async fn look(connection: &CriClient) -> Result<Self, CallError> {
        // Of pods that are made meanwhile one list knows.
        let here = cli::run_dir();
        let mut being_made = PodBeingMade::all(&here, &connection.endpoint).await;
        let mut whole = Self { pods: select::pods(connection).await?, ..Self::default() };
        let bases: BTreeSet<PathBuf> = whole.pods.iter().filter_map(run_of).map(|(base, _)| base).collect();
        let mut sandboxes: Vec<_> = being_made.iter().map(|made| made.as_sandbox(&here)).collect();
        for base in bases.iter().filter(|base| **base != here) {
            let made = PodBeingMade::all(base, &connection.endpoint).await;
            sandboxes.extend(made.iter().map(|made| made.as_sandbox(base)));
            being_made.extend(made);
        }
        let is_known = |sandbox: &v1::PodSandbox| whole.pods.iter().any(|pod| uid(pod) == uid(sandbox));
        let news: Vec<bool> = sandboxes.iter().map(|sandbox| !is_known(sandbox)).collect();
        let mut is_new = news.iter();
        being_made.retain(|_| is_new.next() == Some(&true));
        whole.being_made = being_made;
        whole.pods.extend(sandboxes.into_iter().zip(news).filter(|(_, is_new)| *is_new).map(|(sandbox, _)| sandbox));
        whole.pods.sort_by_key(|pod| (pod.created_at, pod.id.clone()));
        for base in bases.into_iter().chain([here]).collect::<BTreeSet<_>>() {
            runs::settled(&base).await;
            let is_here = |run: &KnownRun| run.lives && run.is_at(&connection.endpoint);
            whole.runs.extend(runs::all(&base).into_iter().filter(is_here).map(|run| (base.clone(), run)));
        }
        Ok(whole)
    }

    /// Finds what is named.
    pub(crate) fn find(&self, targets: Targets<'_>, is_one_of_all: impl Fn(&v1::PodSandbox) -> bool) -> FoundPods {
        let mut found = FoundPods::default();
        if targets.all {
            self.pods.iter().filter(|pod| is_one_of_all(pod)).for_each(|pod| found.add(pod));
            self.runs.iter().for_each(|run| found.want(run, |_| true, true));
        }
        let mut paths: Vec<PathBuf> = targets.files.to_vec();
        for word in targets.words {
            if manifest_files::is_file(word) {
                paths.push(word.into());
            } else if !self.add_word(&mut found, word, targets.all_of_a_name) {
                // As `run` takes it.
                match Path::new(word).is_dir() {
                    true => paths.push(word.into()),
                    false => found
                        .problems
                        .push(format!("there is no pod, Job, Deployment or run `{word}`; `peapod ps -a` lists all")),
                }
            }
        }
        let mut named = Vec::new();
        for path in &paths {
            named.push(ManifestIdentity::of(&manifest_files::identity(path)));
            self.add_path(&mut found, path, &mut named);
        }
        self.complete(&mut found, &named);
        found
    }

    /// Whether anything is called so.
    fn add_word(&self, found: &mut FoundPods, word: &str, all_of_a_name: bool) -> bool {
        let named: Vec<_> = self.pods.iter().filter(|pod| select::is_named(pod, word)).collect();
        let is_one_name = named.windows(2).all(|two| select::pod_name(two[0]) == select::pod_name(two[1]));
        if all_of_a_name && is_one_name && !named.is_empty() {
            named.into_iter().for_each(|pod| found.add(pod));
            return true;
        }
        match select::choose(self.pods.clone(), word) {
            Ok(pod) => found.add(&pod),
            Err(SelectError::NoPod { .. }) => return self.add_called(found, word),
            Err(error) => found.problems.push(error.to_string()),
        }
        true
    }

    /// A Job, a Deployment, a Pod of which nothing is there yet, or a run.
    /// Whether there is any.
    fn add_called(&self, found: &mut FoundPods, word: &str) -> bool {
        let of_pods = self.pods.iter().filter(|pod| is_of_run(pod)).map(workload_of);
        let of_runs = self.runs.iter().flat_map(|(_, run)| &run.subjects.workloads).map(|known| known.named.clone());
        let called: BTreeSet<_> = of_pods.chain(of_runs).filter(|workload| workload.is_called(word)).collect();
        if called.len() > 1 {
            let names = called.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            found.problems.push(format!("`{word}` can be any of {names}: write the namespace, or kind/name"));
            return true;
        }
        if let Some(workload) = called.first() {
            let is_one = |pod: &&v1::PodSandbox| is_of_run(pod) && workload_of(pod) == *workload;
            self.pods.iter().filter(is_one).for_each(|pod| found.add(pod));
            self.runs.iter().for_each(|run| found.want(run, |known| known == workload, false));
            return true;
        }
        let is_run = |id: &str| id == word || (word.len() >= 4 && id.starts_with(word));
        let before = (found.pods.len(), found.runs.len());
        let is_of_it = |pod: &&v1::PodSandbox| run_of(pod).is_some_and(|(_, id)| is_run(&id));
        self.pods.iter().filter(is_of_it).for_each(|pod| found.add(pod));
        self.runs.iter().filter(|(_, run)| is_run(&run.id)).for_each(|run| found.want(run, |_| true, true));
        before != (found.pods.len(), found.runs.len())
    }

    /// A manifest, or those of a folder.
    fn add_path(&self, found: &mut FoundPods, path: &Path, named: &mut Vec<ManifestIdentity>) {
        let before = (found.pods.len(), found.runs.clone());
        let files = manifest_files::files(path);
        let is_empty = files.is_err();
        let read = files.and_then(|files| {
            files.iter().try_for_each(|file| {
                let identity = ManifestIdentity::of(&manifest_files::identity(file));
                named.push(identity.clone());
                let read = manifest_files::read(file, MAX_LENGTH);
                let (workloads, error) = match read.and_then(|text| manifest_files::named_workloads(&text)) {
                    Ok(workloads) => (workloads, None),
                    Err(error) => (Vec::new(), Some(error)),
                };
                let before = (found.pods.len(), found.runs.clone());
                self.add_file(found, &NamedFile { identity, workloads });
                // What was run from it is found also when it is gone, or is no manifest any more.
                let is_found = before != (found.pods.len(), found.runs.clone());
                error.filter(|_| !is_found).map_or(Ok(()), Err)
            })
        });
        self.add_folder(found, &ManifestIdentity::of(&manifest_files::identity(path)));
        match read {
            // What was of it is found also when no manifest is in it any more.
            Err(_) if is_empty && (before != (found.pods.len(), found.runs.clone()) || self.is_of_run(path)) => {}
            Err(error) => found.problems.push(format!("cannot read {}: {error:#}", path.display())),
            // Not of each file of a folder something is there.
            Ok(()) if before == (found.pods.len(), found.runs.clone()) && !self.is_of_run(path) => {
                found.empty.push(path.display().to_string());
            }
            Ok(()) => {}
        }
    }

    /// Whether a run lives that was asked for just this.
    fn is_of_run(&self, path: &Path) -> bool {
        let path = ManifestIdentity::of(&manifest_files::identity(path));
        self.runs.iter().any(|(_, run)| run.files.iter().any(|own| ManifestIdentity::of(own).is(&path)))
    }

    /// What was run from a folder's files, also from those that are gone.
    fn add_folder(&self, found: &mut FoundPods, folder: &ManifestIdentity) {
        let is_in = |file: &String| ManifestIdentity::of(file).is_in(folder);
        let is_of_it =
            |pod: &&v1::PodSandbox| is_of_run(pod) && pod.annotations.get(labels::RUN_FILE).is_some_and(is_in);
        self.pods.iter().filter(is_of_it).for_each(|pod| found.add(pod));
        for run in &self.runs {
            let workloads = run.1.subjects.workloads.iter();
            let own: BTreeSet<_> =
                workloads.filter(|known| known.file.as_ref().is_some_and(is_in)).map(|known| &known.named).collect();
            found.want(run, |known| own.contains(known), false);
        }
    }

    fn add_file(&self, found: &mut FoundPods, file: &NamedFile) {
        self.pods.iter().filter(|pod| file.has(pod)).for_each(|pod| found.add(pod));
        for run in &self.runs {
            let own = run.1.subjects.workloads.iter();
            let from_it: BTreeSet<_> = own
                .filter(|known| {
                    let is_from = |own: &String| ManifestIdentity::of(own).is(&file.identity);
                    known.file.as_ref().is_some_and(is_from) || file.workloads.contains(&known.named)
                })
                .map(|known| &known.named)
                .collect();
            found.want(run, |known| from_it.contains(known), false);
        }
    }

    /// Runs of which all was named, in whatever way, end as a whole.
    fn complete(&self, found: &mut FoundPods, named: &[ManifestIdentity]) {
        for run in &self.runs {
            let (base, known) = run;
            let is_own = |pod: &&v1::PodSandbox| run_of(pod).is_some_and(|(of, id)| of == *base && id == known.id);
            // A Pod by itself is named by its pod.
            let pods: BTreeSet<_> =
                found.pods.iter().filter(is_own).filter(|pod| is_plain(pod)).map(workload_of).collect();
            found.want(run, |known| pods.contains(known), false);
            let is_named = |file: &String| named.iter().any(|named| ManifestIdentity::of(file).is(named));
            let has_files = !known.files.is_empty() && known.files.iter().all(is_named);
            let is_old = known.subjects.workloads.is_empty();
            let is_found = |pod: &v1::PodSandbox| found.pods.iter().any(|other| uid(other) == uid(pod));
            let mut own = self.pods.iter().filter(is_own).peekable();
            let has_all_pods = is_old && own.peek().is_some() && own.all(is_found);
            if has_files || has_all_pods {
                found.want(run, |_| true, true);
            }
        }
        for run in &mut found.runs {
            let workloads = &run.known.subjects.workloads;
            let is_wanted = |known: &KnownWorkload| run.wanted.contains(&known.named);
            // What has ended needs no end, unless nothing else is there.
            let are_over = workloads.iter().all(|known| known.is_over);
            let are_wanted = workloads.iter().all(|known| known.is_over && !are_over || is_wanted(known));
            run.is_whole |= !run.wanted.is_empty() && are_wanted;
        }
        found.being_made = found.pods.extract_if(.., |pod| pod.id.is_empty()).collect();
    }
}

impl FoundPods {
    fn add(&mut self, pod: &v1::PodSandbox) {
        if !self.pods.iter().any(|known| uid(known) == uid(pod) && known.id == pod.id) {
            self.pods.push(pod.clone());
        }
    }

    /// Adds what is meant of what a run looks after.
    fn want(&mut self, (base, run): &(PathBuf, KnownRun), is_one: impl Fn(&NamedWorkload) -> bool, is_whole: bool) {
        let workloads = run.subjects.workloads.iter().map(|known| &known.named);
        let wanted: BTreeSet<_> = workloads.filter(|workload| is_one(workload)).cloned().collect();
        if wanted.is_empty() && !is_whole {
            return;
        }
        match self.runs.iter_mut().find(|found| found.base == *base && found.known.id == run.id) {
            Some(found) => {
                found.wanted.extend(wanted);
                found.is_whole |= is_whole;
            }
            None => self.runs.push(FoundRun { base: base.clone(), known: run.clone(), wanted, is_whole }),
        }
    }
}

impl NamedFile {
    /// A pod that was run from it, or that it names.
    fn has(&self, pod: &v1::PodSandbox) -> bool {
        // One of a kubelet's is another pod of that name, and comes again.
        if is_of_kubelet(pod) {
            return false;
        }
        let file = pod.annotations.get(labels::RUN_FILE);
        file.is_some_and(|file| ManifestIdentity::of(file).is(&self.identity))
            || self.workloads.contains(&workload_of(pod))
    }
}

fn uid(pod: &v1::PodSandbox) -> &str {
    pod.metadata.as_ref().map(|metadata| metadata.uid.as_str()).unwrap_or_default()
}

/// Whether it was made for itself, and not for a Job or Deployment, which would make another one.
fn is_plain(pod: &v1::PodSandbox) -> bool {
    !pod.annotations.contains_key(labels::WORKLOAD)
}

/// Finds what is named.
pub(crate) async fn find(
    connection: &CriClient,
    targets: Targets<'_>,
    is_one_of_all: impl Fn(&v1::PodSandbox) -> bool,
) -> anyhow::Result<FoundPods> {
    Ok(Whole::look(connection).await?.find(targets, is_one_of_all))
}
