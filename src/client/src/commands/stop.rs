//! `peapod stop`.

use std::collections::BTreeSet;

use peapod_api::v1;

use super::ending;
use crate::cli::StopArgs;
use crate::connect::CriClient;
use crate::select;
use crate::targets::{self, FoundPods, Targets};

/// Stops pods at the same time, as the containers of each. What makes pods, if that was named, makes no others.
pub(crate) async fn stop(connection: &CriClient, args: &StopArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all, ..Targets::default() };
    let is_one = |pod: &v1::PodSandbox| targets::is_of_run(pod) && (targets::is_ready(pod) || pod.id.is_empty());
    let mut found = targets::find(connection, named, is_one).await?;
    leave_what_stops(&mut found);
    let bases = super::bases(&found);
    ending::warn_of_new_ones(&found)?;
    let end = async |pod: v1::PodSandbox| {
        ending::stop(connection, &pod, args.grace).await?;
        Ok(super::print(format!("{}\n", select::pod_name(&pod)).as_bytes())?)
    };
    let errors = ending::end_all(connection, &found, args.grace, targets::is_ready, end).await?;
    super::sweep(connection, bases).await?;
    found.conclude_strictly(errors)
}

/// Takes what stops with its pod out of what runs are to let go: a Pod by itself is not started again by who looks
/// after it, and may be wanted by a later change. One that was lost and waits to be made anew has no pod to be stopped.
fn leave_what_stops(found: &mut FoundPods) {
    let FoundPods { pods, being_made, runs, .. } = found;
    let there: Vec<_> = pods.iter().filter(|pod| targets::is_ready(pod)).chain(being_made.iter()).collect();
    runs.retain_mut(|run| {
        if run.wanted.iter().any(|workload| workload.kind != "Pod") {
            return true;
        }
        let own: BTreeSet<_> = there.iter().filter(|pod| run.has(pod)).map(|pod| targets::workload_of(pod)).collect();
        let over = run.known.subjects.workloads.iter().filter(|known| known.is_over);
        let over: BTreeSet<_> = over.map(|known| &known.named).collect();
        if own.is_empty() && run.wanted.iter().all(|named| over.contains(named)) {
            // Nothing of it runs: as a whole it ends.
            return run.is_whole;
        }
        let all = run.wanted.len();
        run.wanted.retain(|named| !own.contains(named) && !over.contains(named));
        run.is_whole &= run.wanted.len() == all;
        !run.wanted.is_empty()
    });
}

/// Does the same with each pod, and goes on after an error.
pub(super) async fn each(
    found: &FoundPods,
    mut work: impl AsyncFnMut(&v1::PodSandbox) -> anyhow::Result<()>,
) -> Vec<String> {
    let mut errors = Vec::new();
    for pod in &found.pods {
        errors.extend(work(pod).await.err().map(|error| peapod_text::chain(error.as_ref())));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::samples::{pod, run, whole};

    /// What runs are to let go, of what these words name.
    fn left(whole: &targets::Whole, words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut found = whole.find(Targets { words: &words, ..Targets::default() }, |_| true);
        leave_what_stops(&mut found);
        let run = |run: &targets::FoundRun| {
            let wanted: Vec<_> = run.wanted.iter().map(ToString::to_string).collect();
            format!("{}{}", if run.is_whole { "all: " } else { "" }, wanted.join(", "))
        };
        found.runs.iter().map(run).collect()
    }

    #[test]
    fn what_was_lost_does_not_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut whole = whole(dir.path());
        let two = [("Pod", "a", "/none/two.yaml"), ("Pod", "b", "/none/two.yaml")];
        whole.pods.push(pod(dir.path(), ("cccc", "a", None), "/none/two.yaml"));
        whole.pods.push(pod(dir.path(), ("cccc", "b", None), "/none/two.yaml"));
        whole.runs.push((dir.path().to_owned(), run("cccc", &["/none/two.yaml"], &two)));
        // Each has a pod that ends.
        for words in [&["a"][..], &["b"], &["a", "b"], &["/none/two.yaml"], &["cccc"]] {
            assert_eq!(left(&whole, words), [""; 0], "{words:?}");
        }
        // What makes pods makes no others.
        assert_eq!(left(&whole, &["many"]), ["deployment default/many"]);
        // Of one an earlier pod is left, which was kept, and the next one is to come.
        whole.pods[4].state = v1::PodSandboxState::SandboxNotready.into();
        assert_eq!(left(&whole, &["b"]), ["default/b"]);
        for words in [&["a", "b"][..], &["/none/two.yaml"], &["cccc"]] {
            assert_eq!(left(&whole, words), ["default/b"], "{words:?}");
        }
        // It is made this moment.
        whole.pods[4].id = String::new();
        assert_eq!(left(&whole, &["/none/two.yaml"]), [""; 0]);
        // Nothing is there.
        whole.pods.truncate(3);
        assert_eq!(left(&whole, &["/none/two.yaml"]), ["all: default/a, default/b"]);
        for known in &mut whole.runs[2].1.subjects.workloads {
            known.is_over = true;
        }
        assert_eq!(left(&whole, &["/none/two.yaml"]), ["all: default/a, default/b"]);
    }
}
