//! How a pod is, in the words of `kubectl get pods`.

use peapod_api::v1;

use crate::run::{LifePhase, ReportedContainer, RunReport};

/// A pod as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownState {
    /// `Running`, `Completed`, `CrashLoopBackOff`, …
    pub(super) status: String,
    /// So many containers are ready,
    pub(super) ready: usize,
    /// of so many that are to be.
    pub(super) containers: usize,
    /// Of all containers together.
    pub(super) restarts: u32,
}

/// The last container of a name.
#[derive(Clone, Debug)]
pub(super) struct SeenContainer {
    pub(super) state: v1::ContainerState,
    pub(super) exit_code: i32,
    /// In nanoseconds since 1970.
    pub(super) created_at: i64,
    pub(super) finished_at: i64,
    pub(super) attempt: u32,
}

impl ShownState {
    /// Of a pod whose `peapod run` lives, or has seen its end.
    pub(super) fn of_report(report: &RunReport) -> Self {
        let lasting: Vec<_> = report.containers.iter().filter(|container| !container.init).collect();
        Self {
            status: status(report, &lasting),
            ready: lasting.iter().filter(|container| container.ready).count(),
            containers: lasting.len(),
            restarts: report.containers.iter().map(|container| container.restarts).sum(),
        }
    }

    /// Of one of which only the runtime knows something.
    pub(super) fn of_runtime(is_ready: bool, last: &[SeenContainer]) -> Self {
        let runs = |seen: &SeenContainer| seen.state == v1::ContainerState::ContainerRunning;
        let has_ended = |seen: &SeenContainer| seen.state == v1::ContainerState::ContainerExited;
        // What ended well before another one was made was of the pod's beginning.
        let is_init = |seen: &SeenContainer| {
            has_ended(seen) && seen.exit_code == 0 && last.iter().any(|other| other.created_at > seen.finished_at)
        };
        let has_failed = last.iter().any(|seen| has_ended(seen) && seen.exit_code != 0);
        let status = match (is_ready, last.iter().any(runs)) {
            (false, _) if last.is_empty() => "Stopped",
            (_, _) if has_failed => "Error",
            (true, true) => "Running",
            (false, _) => "Completed",
            (true, false) if !last.is_empty() && last.iter().all(has_ended) => "Completed",
            (true, false) => "ContainerCreating",
        };
        Self {
            status: status.to_owned(),
            ready: last.iter().filter(|seen| is_ready && runs(seen)).count(),
            containers: last.iter().filter(|seen| !is_init(seen)).count(),
            restarts: last.iter().map(|seen| seen.attempt).sum(),
        }
    }

    /// Of one that no runtime has yet.
    pub(super) fn being_made(containers: usize) -> Self {
        Self { status: "Pending".to_owned(), ready: 0, containers, restarts: 0 }
    }
}

fn status(report: &RunReport, lasting: &[&ReportedContainer]) -> String {
    let is_in = |state: &'static str| move |container: &&ReportedContainer| container.state == state;
    let failed = |container: &&ReportedContainer| {
        container.state == "Terminated" && container.exit_code.is_some_and(|code| code != 0)
    };
    let inits: Vec<&ReportedContainer> = report.containers.iter().filter(|container| container.init).collect();
    let done = inits.iter().filter(|container| container.ready).count();
    let alive = || lasting.iter().filter(|container| !is_in("Terminated")(container) && !is_in("Waiting")(container));
    match report.phase {
        _ if report.reason.is_some() => report.reason.clone().unwrap_or_default(),
        LifePhase::Succeeded => "Completed".to_owned(),
        LifePhase::Failed => "Error".to_owned(),
        _ if !report.initialized && report.containers.iter().any(|one| is_in("CrashLoopBackOff")(&one)) => {
            "Init:CrashLoopBackOff".to_owned()
        }
        _ if !report.initialized => format!("Init:{done}/{}", inits.len()),
        _ if lasting.iter().any(is_in("CrashLoopBackOff")) => "CrashLoopBackOff".to_owned(),
        _ if alive().count() > 0 && alive().all(is_in("Terminating")) => "Terminating".to_owned(),
        _ if lasting.iter().any(failed) => "Error".to_owned(),
        LifePhase::Pending => "ContainerCreating".to_owned(),
        LifePhase::Running if alive().count() == 0 && lasting.iter().all(is_in("Terminated")) => "Completed".to_owned(),
        LifePhase::Running => "Running".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(init: bool, state: &str, ready: bool, exit_code: Option<i32>) -> ReportedContainer {
        let restarts = u32::from(state == "CrashLoopBackOff") * 3;
        let (name, state) = ("a".into(), state.into());
        ReportedContainer { name, init, state, started: true, ready, restarts, exit_code, message: None }
    }

    fn report(phase: LifePhase, initialized: bool, containers: Vec<ReportedContainer>) -> RunReport {
        RunReport { phase, reason: None, initialized, ready: false, containers }
    }

    #[test]
    fn a_pod_is_what_kubectl_says() {
        let (main, init) = (|s, r, c| container(false, s, r, c), |s, r, c| container(true, s, r, c));
        let cases = [
            (report(LifePhase::Running, true, vec![main("Running", true, None)]), "1/1 Running 0"),
            (report(LifePhase::Running, true, vec![main("Running", false, None)]), "0/1 Running 0"),
            (
                report(LifePhase::Running, true, vec![init("Terminated", true, Some(0)), main("Running", true, None)]),
                "1/1 Running 0",
            ),
            (
                report(
                    LifePhase::Running,
                    true,
                    vec![main("Running", true, None), main("CrashLoopBackOff", false, Some(1))],
                ),
                "1/2 CrashLoopBackOff 3",
            ),
            (
                report(LifePhase::Running, true, vec![main("Running", true, None), main("Terminated", false, Some(9))]),
                "1/2 Error 0",
            ),
            (
                report(LifePhase::Running, true, vec![main("Running", true, None), main("Terminated", false, Some(0))]),
                "1/2 Running 0",
            ),
            (
                report(
                    LifePhase::Pending,
                    false,
                    vec![init("Terminated", true, Some(0)), init("Running", false, None), main("Waiting", false, None)],
                ),
                "0/1 Init:1/2 0",
            ),
            (
                report(
                    LifePhase::Pending,
                    false,
                    vec![init("CrashLoopBackOff", false, Some(1)), main("Waiting", false, None)],
                ),
                "0/1 Init:CrashLoopBackOff 3",
            ),
            (report(LifePhase::Pending, true, vec![main("Waiting", false, None)]), "0/1 ContainerCreating 0"),
            (report(LifePhase::Running, true, vec![main("Terminating", false, None)]), "0/1 Terminating 0"),
            (report(LifePhase::Succeeded, true, vec![main("Terminated", false, Some(0))]), "0/1 Completed 0"),
            (report(LifePhase::Failed, true, vec![main("Terminated", false, Some(1))]), "0/1 Error 0"),
        ];
        for (report, expected) in cases {
            assert_eq!(shown(&ShownState::of_report(&report)), expected, "{report:?}");
        }
        let late = RunReport { reason: Some("DeadlineExceeded".into()), ..report(LifePhase::Failed, true, vec![]) };
        assert_eq!(ShownState::of_report(&late).status, "DeadlineExceeded");
    }

    fn shown(ShownState { status, ready, containers, restarts }: &ShownState) -> String {
        format!("{ready}/{containers} {status} {restarts}")
    }

    #[test]
    fn of_others_what_the_runtime_knows() {
        let seen = |state, exit_code, (created_at, finished_at): (i64, i64)| SeenContainer {
            state,
            exit_code,
            created_at,
            finished_at,
            attempt: 1,
        };
        let running = seen(v1::ContainerState::ContainerRunning, 0, (5, 0));
        let init = seen(v1::ContainerState::ContainerExited, 0, (1, 4));
        let failed = seen(v1::ContainerState::ContainerExited, 3, (1, 7));
        let ended = seen(v1::ContainerState::ContainerExited, 0, (1, 7));
        let cases: [(bool, Vec<SeenContainer>, &str); 7] = [
            (true, vec![init.clone(), running.clone()], "1/1 Running 2"),
            (true, vec![running.clone(), failed.clone()], "1/2 Error 2"),
            (true, vec![running, ended.clone()], "1/2 Running 2"),
            (true, vec![], "0/0 ContainerCreating 0"),
            (true, vec![ended.clone()], "0/1 Completed 1"),
            (false, vec![ended], "0/1 Completed 1"),
            (false, vec![], "0/0 Stopped 0"),
        ];
        for (is_ready, last, expected) in cases {
            assert_eq!(shown(&ShownState::of_runtime(is_ready, &last)), expected, "{last:?}");
        }
    }
}
