//! Jobs and Deployments told step by step.

use std::time::Duration;

use super::deployment::DeploymentController;
use super::job::JobController;
use super::pod::PodController;
use super::*;
use crate::manifest::{self, Deployment, EnvSource, Job, RolloutStrategy, Workload, WorkloadChange};

fn job(spec: &str) -> Job {
    job_with("Never", spec)
}

fn job_with(policy: &str, spec: &str) -> Job {
    let text = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: sum}}\nspec:\n  {spec}
  template:\n    metadata: {{labels: {{a: b}}}}\n    spec:\n      restartPolicy: {policy}\n      containers: [{{name: c, image: x}}]\n"
    );
    match manifest::read_workload(&text) {
        Ok(Workload::Job(job)) => job,
        other => panic!("{other:?}"),
    }
}

pub(super) fn deployment(replicas: u32, image: &str) -> Deployment {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: own}}
spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: web}}}}
  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: c, image: {image}}}]}}\n"
    );
    match manifest::read_workload(&text) {
        Ok(Workload::Deployment(deployment)) => deployment,
        other => panic!("{other:?}"),
    }
}

fn at(seconds: u64) -> Moment {
    Duration::from_secs(seconds)
}

fn ended(number: PodNumber, is_success: bool) -> FleetInput {
    FleetInput::Ended { number, is_success }
}

fn said(actions: &[FleetAction]) -> String {
    let texts: Vec<String> = actions
        .iter()
        .map(|action| match action {
            FleetAction::StartPod { number } => format!("+{number}"),
            FleetAction::StartJob { number, index: None } => format!("+{number}"),
            FleetAction::StartJob { number, index: Some(index) } => format!("+{number}i{index}"),
            FleetAction::StartReplica { number, slot } => format!("+{number}s{slot}"),
            FleetAction::Stop { number } => format!("-{number}"),
            FleetAction::Over(end) => format!("over {end:?}"),
        })
        .collect();
    texts.join(" ")
}

#[test]
fn a_job_completes_with_so_many_at_a_time() {
    let mut controller = JobController::new(&job("{completions: 3, parallelism: 2}"
        .trim_matches(['{', '}'])
        .replace(", ", "\n  ")
        .as_str()));
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0 +1");
    assert_eq!(said(&controller.step(at(1), ended(1, true))), "+2");
    // Another try after a pause, which grows.
    assert_eq!(said(&controller.step(at(2), ended(0, false))), "");
    assert_eq!(controller.next(), Some(at(12)));
    assert_eq!(said(&controller.step(at(12), FleetInput::Time)), "+3");
    assert_eq!(said(&controller.step(at(13), ended(3, false))), "");
    assert_eq!(controller.next(), Some(at(33)));
    assert_eq!(said(&controller.step(at(33), FleetInput::Time)), "+4");
    assert_eq!(said(&controller.step(at(34), ended(2, true))), "");
    assert_eq!(said(&controller.step(at(35), ended(4, true))), "over Done");
}

#[test]
fn a_job_fails_beyond_its_limit_or_its_time() {
    let mut controller = JobController::new(&job("completions: 2\n  parallelism: 2\n  backoffLimit: 0"));
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0 +1");
    assert_eq!(said(&controller.step(at(1), ended(0, false))), "-1");
    assert_eq!(said(&controller.step(at(2), ended(1, true))), "over TooManyFailures");
    let mut controller = JobController::new(&job("activeDeadlineSeconds: 5"));
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0");
    assert_eq!(controller.next(), Some(at(5)));
    assert_eq!(said(&controller.step(at(5), FleetInput::Time)), "-0");
    assert_eq!(said(&controller.step(at(6), ended(0, false))), "over OutOfTime");
    let mut controller = JobController::new(&job("backoffLimit: 1"));
    controller.step(at(0), FleetInput::Time);
    let restarted = FleetInput::Restarted { number: 0, restarts: 5 };
    assert_eq!(said(&controller.step(at(1), restarted)), "", "a sidecar's: the pod would fail by its others'");
    let mut controller = JobController::new(&job_with("OnFailure", "backoffLimit: 2"));
    controller.step(at(0), FleetInput::Time);
    assert_eq!(said(&controller.step(at(1), FleetInput::Restarted { number: 0, restarts: 1 })), "");
    assert_eq!(said(&controller.step(at(2), FleetInput::Restarted { number: 0, restarts: 2 })), "-0");
}

#[test]
fn indexes_and_work_queues() {
    let given = job("completions: 3\n  parallelism: 2\n  completionMode: Indexed");
    let mut controller = JobController::new(&given);
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0i0 +1i1");
    controller.step(at(1), ended(1, false));
    assert_eq!(said(&controller.step(at(11), FleetInput::Time)), "+2i1");
    assert_eq!(said(&controller.step(at(12), ended(0, true))), "+3i2");
    let pod = given.pod(3, Some(2));
    assert_eq!((pod.name.as_str(), pod.network.hostname.as_str()), ("sum-2-3", "sum-2"));
    assert_eq!(pod.metadata.labels["batch.kubernetes.io/job-completion-index"], "2");
    let env = &pod.containers[0].process.env[0];
    assert_eq!((env.name.as_str(), &env.source), ("JOB_COMPLETION_INDEX", &EnvSource::Plain("2".to_owned())));
    let mut controller = JobController::new(&job("parallelism: 3"));
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0 +1 +2");
    assert_eq!(said(&controller.step(at(1), ended(0, true))), "");
    assert_eq!(said(&controller.step(at(1), ended(1, false))), "");
    assert_eq!(said(&controller.step(at(9), ended(2, true))), "over Done");
}

#[test]
fn a_job_that_is_stopped_makes_no_more_pods() {
    let mut controller = JobController::new(&job("completions: 3"));
    controller.step(at(0), FleetInput::Time);
    assert_eq!(said(&controller.step(at(1), FleetInput::Stop)), "");
    assert_eq!(said(&controller.step(at(2), ended(0, false))), "over Stopped");
    let mut controller = JobController::new(&job("completions: 1"));
    controller.step(at(0), FleetInput::Time);
    controller.step(at(1), FleetInput::Stop);
    assert_eq!(said(&controller.step(at(2), ended(0, true))), "over Done", "all that it was to do");
}

#[test]
fn a_deployment_is_replaced_pod_by_pod() {
    let (old, new) = (deployment(3, "x:1"), deployment(2, "x:2"));
    assert_ne!(old.template.hash, new.template.hash);
    assert_eq!(old.pod(1).name, format!("web-{}-1", old.template.hash));
    assert_eq!((old.pod(1).namespace.as_str(), old.pod(1).network.hostname), ("own", old.pod(1).name));
    let mut controller = DeploymentController::new(&old);
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0s0 +1s1 +2s2");
    let ready = |number| FleetInput::Ready { number, is_ready: true };
    for number in 0..3 {
        controller.step(at(1), ready(number));
    }
    assert_eq!(said(&controller.change(at(2), &new)), "-2 -0");
    assert_eq!(said(&controller.step(at(3), ended(2, true))), "");
    assert_eq!(said(&controller.step(at(3), ended(0, true))), "+3s0");
    // Not before the new one is ready.
    assert_eq!(said(&controller.step(at(4), FleetInput::Time)), "");
    assert_eq!(said(&controller.step(at(5), ready(3))), "-1");
    assert_eq!(said(&controller.step(at(6), ended(1, true))), "+4s1");
    assert_eq!(said(&controller.step(at(7), ready(4))), "");
    // What ends by itself is made anew: at once, then with pauses.
    assert_eq!(said(&controller.step(at(8), ended(4, false))), "+5s1");
    assert_eq!(said(&controller.step(at(9), ended(5, false))), "");
    assert_eq!(controller.next(), Some(at(19)));
    assert_eq!(said(&controller.step(at(10), FleetInput::Stop)), "");
    assert_eq!(said(&controller.step(at(11), ended(3, true))), "over Stopped");
}

#[test]
fn a_pod_that_was_lost_is_made_anew() {
    let mut controller = PodController::default();
    assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "+0");
    assert_eq!(said(&controller.step(at(1), FleetInput::Lost { number: 0 })), "+1", "at once, then with pauses");
    assert_eq!(said(&controller.step(at(2), FleetInput::Lost { number: 1 })), "");
    assert_eq!(controller.next(), Some(at(12)));
    assert_eq!(said(&controller.step(at(12), FleetInput::Time)), "+2");
    assert_eq!(controller.next(), None);
    assert_eq!(said(&controller.step(at(13), FleetInput::Stop)), "");
    assert_eq!(said(&controller.step(at(14), FleetInput::Lost { number: 2 })), "over Done", "it was asked to end");
    let mut controller = PodController::default();
    controller.step(at(0), FleetInput::Time);
    assert_eq!(said(&controller.step(at(1), ended(0, false))), "over Done");
}

#[test]
fn what_is_being_replaced_is_replaced_again_when_the_template_changes() {
    let mut controller = DeploymentController::new(&deployment(2, "x:1"));
    let ready = |number| FleetInput::Ready { number, is_ready: true };
    for input in [FleetInput::Time, ready(0), ready(1)] {
        controller.step(at(0), input);
    }
    assert_eq!(said(&controller.change(at(1), &deployment(2, "x:2"))), "-0");
    assert_eq!(said(&controller.step(at(2), ended(0, true))), "+2s0");
    // The second one never gets ready, and the third one is to mend it; what still serves is left alone.
    assert_eq!(said(&controller.change(at(3), &deployment(2, "x:3"))), "-2");
    assert_eq!(said(&controller.step(at(4), ended(2, true))), "+3s0");
    assert_eq!(said(&controller.step(at(5), FleetInput::Time)), "");
    assert_eq!(said(&controller.step(at(6), ready(3))), "-1");
    assert_eq!(said(&controller.step(at(7), ended(1, true))), "+4s1");
    controller.step(at(8), ready(4));
    assert!(controller.is_settled());
}

#[test]
fn a_new_pod_is_ready_for_a_while_before_the_next_is_replaced() {
    let with = |image| Deployment { min_ready_seconds: 5, ..deployment(2, image) };
    let mut controller = DeploymentController::new(&with("x:1"));
    let ready = |number, is_ready| FleetInput::Ready { number, is_ready };
    controller.step(at(0), FleetInput::Time);
    controller.step(at(0), ready(0, true));
    controller.step(at(1), ready(1, true));
    assert!(!controller.is_settled());
    assert_eq!(controller.next(), Some(at(5)));
    controller.step(at(5), FleetInput::Time);
    controller.step(at(6), FleetInput::Time);
    assert!(controller.is_settled() && controller.next().is_none());
    assert_eq!(said(&controller.change(at(10), &with("x:2"))), "-0");
    assert_eq!(said(&controller.step(at(11), ended(0, true))), "+2s0");
    assert_eq!(said(&controller.step(at(12), ready(2, true))), "");
    // Not ready for long enough: it counts from the beginning.
    assert_eq!(said(&controller.step(at(15), ready(2, false))), "");
    assert_eq!(said(&controller.step(at(16), ready(2, true))), "");
    assert_eq!(controller.next(), Some(at(21)));
    assert_eq!(said(&controller.step(at(21), FleetInput::Time)), "-1");
}

#[test]
fn all_pods_end_before_new_ones_are_made_if_that_is_asked_for() {
    let with = |image| Deployment { strategy: RolloutStrategy::Recreate, ..deployment(2, image) };
    let mut controller = DeploymentController::new(&with("x:1"));
    controller.step(at(0), FleetInput::Time);
    assert_eq!(said(&controller.change(at(1), &with("x:2"))), "-0 -1");
    assert_eq!(said(&controller.step(at(2), ended(1, true))), "");
    assert_eq!(controller.next(), None, "there is nothing to do until the other one has ended");
    assert_eq!(said(&controller.step(at(3), ended(0, true))), "+2s0 +3s1");
}

/// How many pods run at a time can be another number under those that run; with none the Job waits.
#[test]
fn a_job_that_waits_goes_on_with_another_number_of_pods() {
    for none in ["suspend: true", "parallelism: 0", "suspend: true\n  parallelism: 3"] {
        let waits = job(&format!("completions: 3\n  {none}"));
        let mut controller = Controller::new(&Workload::Job(waits.clone()));
        assert_eq!(said(&controller.step(at(0), FleetInput::Time)), "", "{none}");
        assert!(controller.next().is_none() && controller.is_settled(std::iter::empty()) && !controller.is_over());
        let wish = Workload::Job(job("completions: 3\n  parallelism: 2"));
        assert_eq!(controller.workload().change_to(&wish), WorkloadChange::Files);
        assert!(controller.workload().is_resized_by(&wish));
        controller.adopt(wish);
        assert_eq!(said(&controller.step(at(1), FleetInput::Time)), "+0 +1");
        controller.adopt(Workload::Job(waits));
        assert_eq!(said(&controller.step(at(2), ended(0, true))), "", "none for now");
        assert_eq!(said(&controller.step(at(3), ended(1, true))), "");
        controller.adopt(Workload::Job(job("completions: 3")));
        assert_eq!(said(&controller.step(at(4), FleetInput::Time)), "+2");
        assert_eq!(said(&controller.step(at(5), ended(2, true))), "over Done");
    }
}

#[test]
fn mistakes_of_jobs_and_deployments_have_their_lines() {
    let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\nspec:\n  template:\n    spec:\n      containers:\n      - {name: c, image: x, comand: [a]}\n";
    let said = manifest::read_workload(text).unwrap_err().to_string();
    assert!(
        said.contains("line 8: spec.template.spec.containers[0].comand is no field of a Job; is `command`"),
        "{said}"
    );
    let said = manifest::read_workload(&text.replace("comand", "command")).unwrap_err().to_string();
    assert!(said.contains("spec.template.spec.restartPolicy has to be Never or OnFailure"), "{said}");
    let said = manifest::read_workload("{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {}}");
    let said = said.unwrap_err().to_string();
    assert!(said.contains("spec.selector is missing") && said.contains("spec.template is missing"), "{said}");
}

/// Random numbers that a seed repeats.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// Random courses of Jobs (the seed repeats them): never too many pods, no index twice, and an end.
#[test]
fn random_jobs_keep_their_bounds() {
    for seed in 1..=2000_u64 {
        let mut dice = Dice::new(seed);
        let mut below = |limit| dice.below(limit);
        let (completions, parallelism, limit) = (below(5), 1 + below(4), below(4));
        let mode = if below(2) == 0 { "Indexed" } else { "NonIndexed" };
        let given = job(&format!(
            "completions: {completions}\n  parallelism: {parallelism}\n  backoffLimit: {limit}\n  completionMode: {mode}"
        ));
        let mut controller = JobController::new(&given);
        let (mut running, mut now, mut failures, mut successes) = (BTreeMap::new(), Moment::ZERO, 0, 0);
        let mut input = FleetInput::Time;
        let mut verdict = None;
        for _ in 0..200 {
            for action in controller.step(now, input) {
                assert_eq!(verdict, None, "seed {seed}: nothing after the end");
                match action {
                    FleetAction::StartJob { number, index } => {
                        assert!(index.is_none() || !running.values().any(|other| *other == index), "seed {seed}");
                        assert!(running.insert(number, index).is_none(), "seed {seed}");
                    }
                    FleetAction::Stop { number } => assert!(running.contains_key(&number), "seed {seed}"),
                    FleetAction::Over(end) => verdict = Some(end == FleetEnd::TooManyFailures),
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
            assert!(running.len() as u64 <= parallelism, "seed {seed}");
            let numbers: Vec<PodNumber> = running.keys().copied().collect();
            input = if numbers.is_empty() || below(4) == 0 {
                now = controller.next().map_or(now, |moment| moment.max(now));
                FleetInput::Time
            } else {
                let number = numbers[below(numbers.len() as u64) as usize];
                running.remove(&number);
                let is_success = below(3) > 0;
                if is_success {
                    successes += 1;
                } else {
                    failures += 1;
                }
                ended(number, is_success)
            };
        }
        let has_failed = verdict.unwrap_or_else(|| panic!("seed {seed} ends"));
        assert!(running.is_empty(), "seed {seed}");
        assert_eq!(has_failed, failures > limit, "seed {seed}: {successes} of {completions}, {failures} failures");
        assert!(has_failed || successes >= completions, "seed {seed}");
    }
}
