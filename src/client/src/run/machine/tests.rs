//! Lives told step by step.

use std::time::Duration;

use super::*;
use crate::manifest;

/// A machine for a pod, and what it decided so far.
struct ToldLife {
    machine: LifeMachine,
    now: Duration,
}

impl ToldLife {
    fn new(spec: &str) -> Self {
        let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n{spec}");
        let pod = manifest::read(&text).unwrap();
        Self { machine: LifeMachine::new(LifePlan::of(&pod)), now: Duration::ZERO }
    }

    /// Feeds it after some seconds, and says what it decided.
    fn after(&mut self, seconds: u64, input: LifeInput) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        let name = |member: usize, machine: &LifeMachine| machine.report().members[member].name.clone();
        let actions = self.machine.step(self.now, input);
        actions
            .into_iter()
            .filter_map(|action| {
                Some(match action {
                    LifeAction::Start { member, attempt } => format!("start {} {attempt}", name(member, &self.machine)),
                    LifeAction::Stop { member, grace } => format!("stop {} {grace}", name(member, &self.machine)),
                    LifeAction::Hook { member, hook, .. } => format!("{hook:?} {}", name(member, &self.machine)),
                    LifeAction::Probe { member, kind, .. } => format!("{kind} of {}", name(member, &self.machine)),
                    LifeAction::End(outcome) => format!("{outcome:?}"),
                    LifeAction::Tell(_) => return None,
                })
            })
            .collect()
    }

    fn started(&mut self, member: usize) -> Vec<String> {
        self.after(0, LifeInput::Started { member })
    }

    fn exited(&mut self, seconds: u64, member: usize, code: i32) -> Vec<String> {
        self.after(seconds, LifeInput::Exited { member, code, out_of_memory: false })
    }

    fn probed(&mut self, member: usize, kind: ProbeKind, result: Probed) -> Vec<String> {
        self.after(0, LifeInput::ProbeDone { member, attempt: 0, kind, result })
    }

    fn next(&self) -> Option<u64> {
        self.machine.next().map(|moment| moment.saturating_sub(self.now).as_secs())
    }

    fn phase(&self) -> (LifePhase, bool) {
        let report = self.machine.report();
        (report.phase, report.is_ready)
    }
}

#[test]
fn back_off_grows_and_a_long_life_resets_it() {
    let mut told = ToldLife::new("  containers: [{name: m, image: x}]\n");
    assert_eq!(told.after(0, LifeInput::Time), ["start m 0"]);
    told.started(0);
    assert_eq!(told.exited(1, 0, 1), ["start m 1"]);
    let mut waits = Vec::new();
    for attempt in 2..8 {
        told.started(0);
        assert!(told.exited(1, 0, 1).is_empty());
        let wait = told.next().unwrap();
        waits.push(wait);
        assert!(told.after(wait - 1, LifeInput::Time).is_empty());
        assert_eq!(told.after(1, LifeInput::Time), [format!("start m {attempt}")]);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 300]);
    told.started(0);
    assert_eq!(told.exited(600, 0, 1), ["start m 8"]);
}

#[test]
fn a_sidecar_comes_before_and_ends_after_those_that_it_serves() {
    let mut told = ToldLife::new(
        "  terminationGracePeriodSeconds: 20
  initContainers:
  - {name: s, image: x, restartPolicy: Always, startupProbe: {exec: {command: [a]}, failureThreshold: 2}}
  - {name: i, image: x}
  containers: [{name: m, image: x}, {name: o, image: x}]\n",
    );
    assert_eq!(told.after(0, LifeInput::Time), ["start s 0"]);
    assert_eq!(told.started(0), ["startup probe of s"]);
    assert!(told.probed(0, ProbeKind::Startup, Probed::Failure).is_empty());
    assert_eq!(told.after(10, LifeInput::Time), ["startup probe of s"]);
    assert_eq!(told.probed(0, ProbeKind::Startup, Probed::Success), ["start i 0"]);
    told.started(1);
    // It is started again when it ends, and nobody waits for it.
    assert_eq!(told.exited(1, 0, 0), ["start s 1"]);
    assert_eq!(told.phase(), (LifePhase::Pending, false));
    assert_eq!(told.exited(0, 1, 0), ["start m 0"]);
    assert_eq!(told.started(2), ["start o 0"]);
    assert_eq!(told.started(0), ["startup probe of s"]);
    told.started(3);
    assert_eq!(told.phase(), (LifePhase::Running, false));
    told.after(0, LifeInput::ProbeDone { member: 0, attempt: 1, kind: ProbeKind::Startup, result: Probed::Success });
    assert_eq!(told.phase(), (LifePhase::Running, true));
    assert_eq!(told.after(0, LifeInput::Stop), ["stop o 20", "stop m 20"]);
    assert!(told.exited(3, 2, 0).is_empty());
    assert_eq!(told.exited(2, 3, 0), ["stop s 15"]);
    assert_eq!(told.exited(0, 0, 143), ["Asked"]);
    assert_eq!(told.phase(), (LifePhase::Succeeded, false));
}

#[test]
fn sidecars_end_in_reverse_once_the_main_containers_have_ended() {
    let mut told = ToldLife::new(
        "  restartPolicy: Never
  initContainers:
  - {name: s, image: x, restartPolicy: Always}
  - {name: t, image: x, restartPolicy: Always}
  containers: [{name: m, image: x}]\n",
    );
    assert_eq!(told.after(0, LifeInput::Time), ["start s 0"]);
    assert_eq!(told.started(0), ["start t 0"]);
    assert_eq!(told.started(1), ["start m 0"]);
    told.started(2);
    assert_eq!(told.exited(5, 2, 3), ["stop t 30"]);
    assert_eq!(told.exited(1, 1, 0), ["stop s 29"]);
    assert_eq!(told.exited(1, 0, 143), ["Finished"]);
    assert_eq!((told.machine.code(), told.phase().0), (3, LifePhase::Failed));
}

#[test]
fn the_unhealthy_are_stopped_with_their_hook_and_started_again() {
    let mut told = ToldLife::new(
        "  terminationGracePeriodSeconds: 30
  containers:
  - name: m
    image: x
    lifecycle: {preStop: {sleep: {seconds: 3}}}
    livenessProbe: {tcpSocket: {port: 80}, periodSeconds: 5, failureThreshold: 2, terminationGracePeriodSeconds: 7}\n",
    );
    told.after(0, LifeInput::Time);
    assert_eq!(told.started(0), ["liveness probe of m"]);
    assert!(told.probed(0, ProbeKind::Liveness, Probed::Failure).is_empty());
    assert_eq!(told.after(5, LifeInput::Time), ["liveness probe of m"]);
    assert_eq!(told.probed(0, ProbeKind::Liveness, Probed::Failure), ["PreStop m"]);
    let done = LifeInput::HookDone { member: 0, attempt: 0, hook: HookKind::PreStop, is_done: true };
    assert_eq!(told.after(3, done), ["stop m 4"]);
    assert_eq!(told.exited(1, 0, 0), ["start m 1"]);
    told.started(0);
    // A result of the one before says nothing about this one.
    assert!(told.probed(0, ProbeKind::Liveness, Probed::Failure).is_empty());
    assert_eq!(told.phase(), (LifePhase::Running, true));
}

#[test]
fn a_failed_post_start_ends_the_container_and_holds_back_the_next() {
    let mut told = ToldLife::new(
        "  restartPolicy: OnFailure
  containers:
  - {name: m, image: x, lifecycle: {postStart: {exec: {command: [a]}}}}
  - {name: o, image: x}\n",
    );
    told.after(0, LifeInput::Time);
    assert_eq!(told.started(0), ["PostStart m"]);
    let done = |is_done, attempt| LifeInput::HookDone { member: 0, attempt, hook: HookKind::PostStart, is_done };
    assert_eq!(told.phase(), (LifePhase::Pending, false));
    assert_eq!(told.after(1, done(false, 0)), ["start o 0", "stop m 30"]);
    assert_eq!(told.exited(0, 0, 0), ["start m 1"]);
    assert_eq!(told.started(0), ["PostStart m"]);
    assert!(told.after(1, done(true, 1)).is_empty());
    told.started(1);
    assert_eq!(told.phase(), (LifePhase::Running, true));
}

#[test]
fn rules_come_before_the_policy() {
    let mut told = ToldLife::new(
        "  restartPolicy: Never
  initContainers: [{name: i, image: x}]
  containers:
  - name: m
    image: x
    restartPolicy: Never
    restartPolicyRules:
    - {action: Restart, exitCodes: {operator: In, values: [42]}}
    - {action: RestartAllContainers, exitCodes: {operator: In, values: [43]}}
  - {name: o, image: x, lifecycle: {preStop: {sleep: {seconds: 9}}}}\n",
    );
    told.after(0, LifeInput::Time);
    told.started(0);
    assert_eq!(told.exited(0, 0, 0), ["start m 0"]);
    assert_eq!(told.started(1), ["start o 0"]);
    told.started(2);
    assert_eq!(told.exited(1, 1, 42), ["start m 1"]);
    told.started(1);
    // All of them, without hooks, and from the beginning.
    assert_eq!(told.exited(700, 1, 43), ["stop o 2"]);
    assert_eq!(told.exited(1, 2, 137), ["start i 1"]);
    told.started(0);
    assert_eq!(told.exited(0, 0, 0), ["start m 2"]);
    assert_eq!(told.started(1), ["start o 1"]);
    told.started(2);
    assert!(told.exited(0, 1, 1).is_empty());
    assert_eq!(told.exited(0, 2, 0), ["Finished"]);
    assert_eq!(told.machine.code(), 1);
}

#[test]
fn a_deadline_fails_the_pod() {
    let mut told = ToldLife::new("  activeDeadlineSeconds: 60\n  containers: [{name: m, image: x}]\n");
    told.after(0, LifeInput::Time);
    told.started(0);
    assert_eq!(told.next(), Some(60));
    assert_eq!(told.after(60, LifeInput::Time), ["stop m 30"]);
    assert_eq!(told.exited(1, 0, 0), ["DeadlineExceeded"]);
    let report = told.machine.report();
    assert_eq!((report.phase, report.reason), (LifePhase::Failed, Some("DeadlineExceeded")));
}

#[test]
fn a_second_asking_kills_what_the_first_let_finish() {
    let mut told = ToldLife::new(
        "  initContainers: [{name: s, image: x, restartPolicy: Always}]
  containers: [{name: m, image: x, lifecycle: {preStop: {sleep: {seconds: 9}}}}]\n",
    );
    told.after(0, LifeInput::Time);
    told.started(0);
    told.started(1);
    assert_eq!(told.after(0, LifeInput::Stop), ["PreStop m"]);
    assert_eq!(told.after(1, LifeInput::Kill), ["stop m 0", "stop s 0"]);
    assert!(told.exited(0, 0, 137).is_empty());
    assert_eq!(told.exited(0, 1, 137), ["Asked"]);
}

#[test]
fn a_shorter_grace_counts_at_once() {
    let mut told = ToldLife::new("  containers: [{name: m, image: x}]\n");
    told.after(0, LifeInput::Time);
    told.started(0);
    assert_eq!(told.after(0, LifeInput::Stop), ["stop m 30"]);
    assert_eq!(told.after(5, LifeInput::StopWithin { seconds: 60 }), Vec::<String>::new());
    assert_eq!(told.after(1, LifeInput::StopWithin { seconds: 10 }), ["stop m 10"]);
    assert_eq!(told.after(1, LifeInput::StopWithin { seconds: 0 }), ["stop m 0"]);
    assert_eq!(told.exited(0, 0, 137), ["Asked"]);
}

#[test]
fn what_somebody_else_stops_is_not_started_again() {
    let mut told = ToldLife::new("  containers: [{name: m, image: x}]\n");
    told.after(0, LifeInput::Time);
    told.started(0);
    assert!(told.after(0, LifeInput::Announced).is_empty());
    assert!(told.exited(0, 0, 143).is_empty());
    assert_eq!((told.next(), told.machine.code()), (Some(30), 0));
    assert!(told.after(20, LifeInput::Announced).is_empty());
    assert_eq!(told.next(), Some(30));
    assert_eq!(told.after(0, LifeInput::Gone), ["Elsewhere"]);
}

#[test]
fn a_pod_goes_on_that_somebody_else_stops_no_more() {
    let mut told = ToldLife::new("  containers: [{name: m, image: x}, {name: o, image: x}]\n");
    told.after(0, LifeInput::Time);
    told.started(0);
    told.started(1);
    assert!(told.after(0, LifeInput::Announced).is_empty());
    assert!(told.exited(0, 0, 143).is_empty());
    assert_eq!(told.next(), Some(30));
    assert_eq!(told.after(30, LifeInput::Time), ["start m 1"]);
    let rules = "restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [3]}}]";
    let mut told = ToldLife::new(&format!("  containers: [{{name: m, image: x, restartPolicy: Never, {rules}}}]\n"));
    told.after(0, LifeInput::Time);
    told.started(0);
    told.after(0, LifeInput::Announced);
    told.exited(0, 0, 3);
    assert_eq!(told.after(30, LifeInput::Time), ["start m 1"]);
}
