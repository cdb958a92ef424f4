//! What controllers want to know of their pods while these live.

use std::collections::BTreeMap;
use std::sync::Arc;

use peapod_text::shortened;
use tokio::sync::watch;

use super::machine::PodReport;
use crate::bounds::APPLIED_LINE_BYTES;

/// A pod of a controller, in the order in which it makes them.
pub(super) type PodNumber = u32;

/// Whose pod: the place of its controller, and its number there.
pub(super) type PodKey = (usize, PodNumber);

/// How a pod is, as far as controllers care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodSigns {
    pub(super) is_ready: bool,
    /// How often its containers were started again, all together.
    pub(super) restarts: u32,
    /// With what a container had ended before the last such start, or 0.
    pub(super) failed_with: i32,
    /// What was said last of what keeps it from being ready.
    pub(super) trouble: String,
}

/// How all pods of a run are.
#[derive(Clone)]
pub(super) struct ReportBoard(Arc<watch::Sender<BTreeMap<PodKey, PodSigns>>>);

/// Where one of them says it.
#[derive(Clone)]
pub(super) struct ReportLine {
    key: PodKey,
    board: ReportBoard,
}

impl Default for ReportBoard {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl ReportBoard {
    pub(super) fn line(&self, key: PodKey) -> ReportLine {
        ReportLine { key, board: self.clone() }
    }

    pub(super) fn read(&self) -> watch::Receiver<BTreeMap<PodKey, PodSigns>> {
        self.0.subscribe()
    }

    /// The pod is no more.
    pub(super) fn forget(&self, key: PodKey) {
        self.0.send_if_modified(|all| {
            all.remove(&key);
            false
        });
    }
}

impl ReportLine {
    pub(super) fn say(&self, report: &PodReport) {
        let restarts = report.members.iter().map(|member| member.restarts).sum();
        self.board.0.send_if_modified(|all| {
            let is_first = !all.contains_key(&self.key);
            let known = all.entry(self.key).or_default();
            let mut codes = report.members.iter().filter_map(|member| member.exit_code).filter(|code| *code != 0);
            let has_failed = codes.next().filter(|_| restarts > known.restarts);
            let signs = PodSigns {
                is_ready: report.is_ready,
                restarts,
                failed_with: has_failed.unwrap_or(known.failed_with),
                trouble: known.trouble.clone(),
            };
            let before = std::mem::replace(known, signs.clone());
            is_first || before != signs
        });
    }

    /// Says what keeps it from being ready.
    pub(super) fn complain(&self, text: &str) {
        let text = shortened(text, APPLIED_LINE_BYTES);
        self.board.0.send_if_modified(|all| {
            let known = all.entry(self.key).or_default();
            let is_new = known.trouble != text;
            known.trouble = text.into_owned();
            is_new
        });
    }
}
