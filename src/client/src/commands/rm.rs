//! `peapod rm`.

use std::io;

use peapod_api::v1;

use super::ending;
use crate::cli::RmArgs;
use crate::connect::CriClient;
use crate::manifest_files::NamedWorkload;
use crate::run::PodDir;
use crate::runs::KnownWorkload;
use crate::targets::{self, FoundPods, Targets};
use crate::{select, teardown};

/// Removes pods with their containers, and what `peapod run` kept for them.
pub(crate) async fn rm(connection: &CriClient, args: &RmArgs) -> anyhow::Result<()> {
    let named = Targets { words: &args.pods, files: &args.files, all: args.all, all_of_a_name: true };
    let is_one = |pod: &v1::PodSandbox| targets::is_of_run(pod) && (args.force || !targets::is_ready(pod));
    let mut found = targets::find(connection, named, is_one).await?;
    let bases = super::bases(&found);
    // Who means all means what has stopped.
    let living = if args.all || args.force { Vec::new() } else { living(&found) };
    let kept = found.pods.clone();
    // Of a name that runs again, those are meant that have stopped.
    let has_stopped = |pod: &v1::PodSandbox| {
        let is_twin = |other: &v1::PodSandbox| select::pod_name(other) == select::pod_name(pod);
        kept.iter().any(|other| is_twin(other) && !targets::is_ready(other))
    };
    found.pods.retain(|pod| args.force || !targets::is_ready(pod) || !has_stopped(pod));
    if args.force {
        let end = async |pod: v1::PodSandbox| one(connection, &pod).await;
        // Else those that look after them make others.
        let errors = ending::end_all(connection, &found, Some(0), |_| true, end).await?;
        super::sweep(connection, bases).await?;
        return found.conclude_strictly(errors);
    }
    found.problems.extend(living);
    let errors = super::stop::each(&found, async |pod: &v1::PodSandbox| {
        let name = select::pod_name(pod);
        let is_ready = targets::is_ready(pod);
        anyhow::ensure!(!is_ready, "pod {name} is running: stop it with `peapod stop {name}`, or use --force");
        one(connection, pod).await
    })
    .await;
    super::sweep(connection, bases).await?;
    found.conclude_strictly(errors)
}

/// What can't be removed though no pod of it runs, as somebody makes one or would make others.
fn living(found: &FoundPods) -> Vec<String> {
    let being_made = found.being_made.iter().map(|pod| {
        let name = select::pod_name(pod);
        format!("pod {name} is being made: end it with `peapod down {name}`")
    });
    let mut problems: Vec<String> = being_made.collect();
    for run in &found.runs {
        let is_there = |named: &NamedWorkload| {
            let mut ready = found.pods.iter().filter(|pod| targets::is_ready(pod)).chain(&found.being_made);
            ready.any(|pod| run.has(pod) && targets::workload_of(pod) == *named)
        };
        let is_on = |known: &&KnownWorkload| !known.is_over && run.wanted.contains(&known.named);
        let on: Vec<_> = run.known.subjects.workloads.iter().filter(is_on).map(|known| &known.named).collect();
        for named in on.iter().filter(|named| !is_there(named)) {
            let word = named.word();
            problems.push(format!("the run of {named} lives: end it with `peapod down {word}`"));
        }
        if run.is_whole && on.is_empty() && !found.pods.iter().any(|pod| run.has(pod)) {
            let id = &run.known.id;
            problems.push(format!("run {id} lives: end it with `peapod down {id}`"));
        }
    }
    problems
}

/// Ends one at once, and removes it.
async fn one(connection: &CriClient, pod: &v1::PodSandbox) -> anyhow::Result<()> {
    let name = select::pod_name(pod);
    let _announced = PodDir::of(pod).map(|dir| dir.announce_stop());
    // Also for one that has stopped: it may have left something.
    super::all_of(&name, &teardown::stop(connection, &pod.id, 0).await)?;
    remove(connection, pod).await?;
    Ok(super::print(format!("{name}\n").as_bytes())?)
}

/// Removes one that has stopped, also while the `peapod run` that made it does the same.
pub(super) async fn remove(connection: &CriClient, pod: &v1::PodSandbox) -> anyhow::Result<()> {
    super::all_of(&select::pod_name(pod), &teardown::remove(connection, &pod.id).await)?;
    let Some(dir) = PodDir::of(pod) else { return Ok(()) };
    // Others are stopped meanwhile, however much there is.
    match tokio::task::spawn_blocking(move || dir.remove()).await? {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::samples::whole;

    #[test]
    fn what_lives_is_not_removed_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let mut whole = whole(dir.path());
        let living = |whole: &targets::Whole, word: &str| {
            let words = [word.to_owned()];
            let found = whole.find(Targets { words: &words, ..Targets::default() }, |_| true);
            assert_eq!(found.problems, [""; 0], "{word}");
            living(&found)
        };
        let job = "the run of job default/work lives: end it with `peapod down job/work`";
        // Of which no pod is there, by its own name, its run's and its file's.
        for word in ["work", "bbbb", "/none/job.yaml"] {
            assert_eq!(living(&whole, word), [job], "{word}");
        }
        let (many, web) = (
            "the run of deployment default/many lives: end it with `peapod down deployment/many`",
            "the run of default/web lives: end it with `peapod down default/web`",
        );
        // Of what runs its pods tell.
        assert_eq!(living(&whole, "aaaa"), [""; 0]);
        for pod in &mut whole.pods {
            pod.state = v1::PodSandboxState::SandboxNotready.into();
        }
        // What is left of them has stopped, and others come.
        assert_eq!(living(&whole, "aaaa"), [web, many]);
        assert_eq!(living(&whole, "web"), [web]);
        // One pod of many is removed by itself.
        assert_eq!(living(&whole, "many-1"), [""; 0]);
        // What is over is removed.
        whole.runs[0].1.subjects.workloads[1].is_over = true;
        assert_eq!(living(&whole, "aaaa"), [web]);
        whole.runs[1].1.subjects.workloads[0].is_over = true;
        assert_eq!(living(&whole, "bbbb"), ["run bbbb lives: end it with `peapod down bbbb`"]);
        // Made this moment.
        whole.pods[0].id = String::new();
        assert_eq!(living(&whole, "web"), ["pod default/web is being made: end it with `peapod down default/web`"]);
    }
}
