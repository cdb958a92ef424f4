//! What controllers want to know of their pods while these live.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::machine::PodReport;

/// A pod of a controller, in the order in which it makes them.
pub(super) type PodNumber = u32;

/// Whose pod: the place of its controller, and its number there.
pub(super) type PodKey = (usize, PodNumber);

/// How a pod is, as far as controllers care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PodSigns {
    pub(super) is_ready: bool,
    /// How often its containers were started again, all together.
    pub(super) restarts: u32,
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
        let signs = PodSigns { is_ready: report.is_ready, restarts };
        self.board.0.send_if_modified(|all| all.insert(self.key, signs) != Some(signs));
    }
}
