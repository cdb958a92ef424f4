//! The pods that live: how each begins, what is heard of it, and what its end means.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::change::LastChange;
use super::{Fleet, FleetAction, FleetInput, OWN_FAILURE};
use crate::manifest::{Pod, RestartPolicy};
use crate::run::asked::{StopAsked, StopSpeaker, stop_line};
use crate::run::machine::{LifeOutcome, LifePhase};
use crate::run::news::soon;
use crate::run::readiness::{PodKey, PodNumber, PodSigns};
use crate::run::remains::{RemainsPolicy, RemainsWish};
use crate::run::renewal::{VolumeSpeaker, volume_line};
use crate::run::supervise::RunOutcome;
use crate::run::voice::Voice;
use crate::run::{RunError, live};

pub(super) type PodLife<'a> = Pin<Box<dyn Future<Output = (PodKey, Result<RunOutcome, RunError>)> + 'a>>;

/// A pod that lives.
pub(super) struct FleetPod {
    /// As it was made.
    pub(super) pod: Arc<Pod>,
    /// What asked for it.
    pub(super) action: FleetAction,
    pub(super) volumes: VolumeSpeaker,
    pub(super) stop: StopSpeaker,
    /// What is to be left of it.
    pub(super) remains: RemainsWish,
    /// What was heard of it last.
    pub(super) signs: Option<PodSigns>,
    pub(super) readiness: PodReadiness,
}

/// For how long a pod has to be ready to count: one without a probe is ready as soon as it runs, also if it fails at
/// once.
const MOMENT: Duration = Duration::from_millis(300);

/// Whether a pod has been ready once, and not just in passing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PodReadiness {
    No,
    Since(Instant),
    Was,
}

impl PodReadiness {
    /// It is said to be ready, or not.
    fn said(&mut self, is_ready: bool) {
        *self = match (*self, is_ready) {
            (Self::Was, _) => Self::Was,
            (Self::Since(since), true) => Self::Since(since),
            (Self::No, true) => Self::Since(Instant::now()),
            (Self::No | Self::Since(_), false) => Self::No,
        };
    }

    /// Time has gone on.
    fn look(&mut self) {
        if matches!(*self, Self::Since(since) if since.elapsed() >= MOMENT) {
            *self = Self::Was;
        }
    }
}

impl FleetPod {
    /// Time has gone on.
    pub(super) fn look(&mut self) {
        self.readiness.look();
    }

    /// Whether it has been ready once, for a moment.
    pub(super) fn was_ready(&self) -> bool {
        self.readiness == PodReadiness::Was
    }

    /// When that may be so.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.readiness {
            PodReadiness::Since(since) => Some(since + MOMENT),
            PodReadiness::No | PodReadiness::Was => None,
        }
    }
}

impl Fleet<'_> {
    pub(super) fn begin(&mut self, key: PodKey, action: FleetAction, pod: Pod) {
        let (stop, line) = stop_line();
        let (volumes, volume_line) = volume_line(&pod.volumes);
        let voice = Voice::new(self.context.console, if self.context.is_alone { "" } else { &pod.name });
        let report = self.news.reports.line(key);
        let pod = Arc::new(pod);
        let remains = RemainsWish::new(match action {
            _ if self.context.args.keep => RemainsPolicy::Always,
            // Others are made anew in its place; of this one, or of its Job, nothing else would tell: neither why it
            // failed, nor that it is not to be begun again.
            FleetAction::StartPod { .. } | FleetAction::StartJob { .. } if self.context.args.detach => {
                RemainsPolicy::OwnEnd
            }
            _ => RemainsPolicy::Never,
        });
        let (context, events) = (self.context, self.news.events);
        let known = FleetPod {
            pod: pod.clone(),
            action,
            volumes,
            stop,
            remains: remains.clone(),
            signs: None,
            readiness: PodReadiness::No,
        };
        self.pods.insert(key, known);
        self.lives.push(Box::pin(async move {
            let lines = ((&line, events, &report), volume_line);
            (key, live(context, &pod, (voice, remains), lines).await)
        }));
    }

    pub(super) async fn heard(&mut self, said: BTreeMap<PodKey, PodSigns>) {
        for (key, signs) in said {
            let Some(pod) = self.pods.get_mut(&key) else { continue };
            let (index, number) = key;
            let PodSigns { is_ready, restarts, .. } = signs;
            let had = pod.signs.replace(signs).unwrap_or_default();
            pod.readiness.look();
            pod.readiness.said(is_ready);
            if had.is_ready != is_ready {
                self.feed(index, FleetInput::Ready { number, is_ready }).await;
            }
            if had.restarts != restarts {
                self.feed(index, FleetInput::Restarted { number, restarts }).await;
            }
            if is_ready {
                self.result.troubles.is_well(index);
            }
        }
    }

    pub(super) async fn ended(&mut self, key: PodKey, result: Result<RunOutcome, RunError>) {
        let pod = self.pods.remove(&key);
        self.news.reports.forget(key);
        let (index, number) = key;
        let may_restart = pod.as_ref().is_some_and(|pod| pod.pod.restart != RestartPolicy::Never);
        let before = pod.as_ref().and_then(|pod| Some(pod.signs.as_ref()?.failed_with));
        let name = pod.map(|pod| pod.pod.name.clone()).unwrap_or_default();
        // What it showed of a pull, or of its end.
        self.context.console.of_pod(if self.context.is_alone { "" } else { &name }).show(Vec::new()).await;
        let by_itself = [LifeOutcome::Finished, LifeOutcome::DeadlineExceeded];
        let is_cut = !result.as_ref().is_ok_and(|outcome| by_itself.contains(&outcome.outcome));
        let input = match result {
            Ok(RunOutcome { outcome: LifeOutcome::Lost, .. }) if may_restart => FleetInput::Lost { number },
            Ok(outcome) => {
                let before = before.filter(|_| self.controllers[index].stops_what_fails()).unwrap_or_default();
                let failure = self.result.troubles.has_ended(index, &name, (&outcome, before));
                if self.controllers[index].is_plain() && outcome.code() != 0 {
                    self.has_failed(index, outcome.code(), failure);
                } else if let Some(code) = outcome.code_of_stop()
                    && self.controllers[index].is_plain()
                    && self.asked == StopAsked::No
                {
                    self.has_failed(index, code, Some(format!("pod {name} was stopped, and ended with {code}")));
                }
                let is_success =
                    outcome.outcome == LifeOutcome::Finished && outcome.report.phase == LifePhase::Succeeded;
                FleetInput::Ended { number, is_success }
            }
            Err(error) if self.controllers[index].tries_again_after(&error, number) => {
                return self.is_not_back(index, number, format!("{name}: {}", peapod_text::chain(&error))).await;
            }
            Err(error) => {
                let is_changing = !matches!(self.change, LastChange::Told);
                let is_told = !self.context.is_alone || self.leaving.contains(&index) || is_changing;
                let text = format!("{name}: {}", peapod_text::chain(&error));
                self.result.troubles.say(index, text.clone());
                if is_told {
                    self.context.console.note(text.clone()).await;
                }
                if self.controllers[index].fails_with(&error) {
                    self.has_failed(index, OWN_FAILURE.into(), Some(text));
                    if !is_told {
                        self.result.error.get_or_insert(error);
                    } else if self.controllers[index].is_hopeless_with(&error) {
                        self.give_up(index).await;
                    }
                }
                FleetInput::Ended { number, is_success: false }
            }
        };
        self.feed(index, input).await;
        if is_cut {
            self.controllers[index].cut();
        }
        self.succeed(index).await;
    }

    /// One that was lost could not be made anew yet.
    async fn is_not_back(&mut self, index: usize, number: PodNumber, text: String) {
        self.result.troubles.say(index, text.clone());
        self.feed(index, FleetInput::Lost { number }).await;
        let text = match self.controllers[index].next() {
            Some(moment) => format!("{text}; trying again {}", soon(moment.saturating_sub(self.begun.elapsed()))),
            None => text,
        };
        self.context.console.note(text).await;
        self.succeed(index).await;
    }
}
