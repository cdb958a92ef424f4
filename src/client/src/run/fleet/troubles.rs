//! What keeps pods from being ready, and why they failed: for who waits for a change, and for who looks when all is
//! over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::controller::Controller;
use super::lives::FleetPod;
use super::{FleetEnd, PodKey};
use crate::run::machine::LifePhase;
use crate::run::report::RunReport;
use crate::run::supervise::RunOutcome;
use crate::runs::RunRecord;

/// Of a whole run.
#[derive(Debug, Default)]
pub(super) struct FleetTroubles {
    /// What became of the last pod of a controller that failed, or could not be run, since one of it was ready.
    last: BTreeMap<usize, String>,
    /// Folders of what is left of a controller's pods to tell why they ended.
    tales: BTreeMap<usize, Vec<PathBuf>>,
    /// What others were told last.
    told: Vec<String>,
}

impl FleetTroubles {
    /// One of its pods could not be run, for this reason.
    pub(super) fn say(&mut self, index: usize, text: String) {
        self.last.insert(index, text);
    }

    /// One of its pods has ended, or was asked to after a container of it had failed with this. Answers what there is
    /// to say of a failure.
    pub(super) fn has_ended(
        &mut self,
        index: usize,
        name: &str,
        (outcome, before): (&RunOutcome, i32),
    ) -> Option<String> {
        let code = if outcome.code() == 0 { before } else { outcome.code() };
        let failure = (code != 0).then(|| format!("pod {name} has failed with {code}"));
        if let Some(text) = &failure {
            self.say(index, text.clone());
        }
        if let Some(tale) = &outcome.tale {
            let tales = self.tales.entry(index).or_default();
            // Later pods of a Job take those of earlier ones away.
            tales.retain(|tale| tale.exists());
            tales.push(tale.clone());
        }
        failure
    }

    /// One of its pods is ready.
    pub(super) fn is_well(&mut self, index: usize) {
        self.last.remove(&index);
    }

    /// Why a controller is over, to where those look who come later; and the last of its pods that failed, in words.
    pub(super) fn blame(&mut self, index: usize, end: FleetEnd) -> Option<String> {
        let reason = match end {
            FleetEnd::TooManyFailures => "BackoffLimitExceeded",
            FleetEnd::OutOfTime => "DeadlineExceeded",
            FleetEnd::Done | FleetEnd::Stopped => return None,
        };
        for tale in self.tales.remove(&index).unwrap_or_default() {
            if let Some(report) = RunReport::read(&tale).filter(|report| report.phase != LifePhase::Succeeded) {
                // Without room it says that the pod has failed, and not why no other one came.
                let _ = RunReport { reason: Some(reason.to_owned()), ..report }.write(&tale);
            }
        }
        self.last.get(&index).cloned()
    }

    /// Tells others for what a change waits, where it is something else than before.
    pub(super) fn tell(&mut self, record: &RunRecord, waits: Vec<String>) {
        // What can't be written is told later.
        if waits != self.told && record.waits_for(&waits).is_ok() {
            self.told = waits;
        }
    }

    /// For what a change waits: each pod that is not as it should be, with the reason.
    pub(super) fn waits(
        &self,
        controllers: &[Controller],
        leaving: &BTreeSet<usize>,
        pods: &BTreeMap<PodKey, FleetPod>,
    ) -> Vec<String> {
        let mut waits = Vec::new();
        for (index, controller) in controllers.iter().enumerate() {
            let mut own = pods.range((index, 0)..=(index, u32::MAX)).map(|(_, pod)| pod).peekable();
            if own.peek().is_none() && !controller.is_over() && !leaving.contains(&index) {
                let last = self.last.get(&index);
                waits.extend(last.map(|text| format!("{}: {text}", controller.title())));
            }
            for pod in own.filter(|pod| leaving.contains(&index) || !pod.was_ready()) {
                let why = match &pod.signs {
                    _ if leaving.contains(&index) => "it ends",
                    None => "it is being made",
                    Some(signs) if signs.trouble.is_empty() => "it is not ready yet",
                    Some(signs) => &signs.trouble,
                };
                waits.push(format!("pod {}: {why}", pod.pod.name));
            }
        }
        waits
    }
}
