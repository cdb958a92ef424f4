//! How long stages took, and what became of spans that were to be sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use peapod_measure::{Counter, Histogram, HistogramReading};
use peapod_trace::{ANSWER, SpanTree};

use crate::bounds::STAGES_MEASURED;
use crate::stages::{CHECK, RECEIVE};

/// Upper bounds, in seconds: few, as there are many stages.
const STAGE_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0];

/// Of all spans that ended. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanMeasures {
    pub(crate) stages: StageMeasures,
    /// Spans that a collector has taken.
    pub(crate) exported: Counter,
    /// Spans that were to be sent and are lost.
    pub(crate) dropped: Counter,
    /// Operations whose stages were not counted, nor sent.
    pub(crate) missed: Counter,
    /// Tries to send that failed.
    pub(crate) failures: Counter,
}

/// An operation and one of its stages. Both are words of ours.
type StageKey = (&'static str, &'static str);

/// Each stage of each operation that there was. One task writes; who reads waits for nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageMeasures(Arc<ArcSwap<BTreeMap<StageKey, Histogram>>>);

impl StageMeasures {
    /// Counts what an operation's stages took. A call that only looks has none but those that every call has: how long
    /// it took is told of the call.
    pub(super) fn observe(&self, tree: &SpanTree) {
        let of_every_call = [RECEIVE.name, CHECK.name, ANSWER.name];
        if tree.stages.iter().all(|stage| of_every_call.contains(&stage.kind.name)) {
            return;
        }
        for stage in &tree.stages {
            let took = tree.end_of(stage).saturating_sub(stage.begin_us);
            if let Some(histogram) = self.of((tree.name, stage.kind.name)) {
                histogram.observe(Duration::from_micros(took));
            }
        }
    }

    fn of(&self, key: StageKey) -> Option<Histogram> {
        let known = self.0.load();
        if let Some(histogram) = known.get(&key) {
            return Some(histogram.clone());
        }
        if known.len() >= STAGES_MEASURED {
            return None;
        }
        let mut more = BTreeMap::clone(&known);
        let histogram = more.entry(key).or_insert_with(|| Histogram::new(STAGE_SECONDS)).clone();
        self.0.store(Arc::new(more));
        Some(histogram)
    }

    /// All of them, by operation and stage.
    pub(crate) fn read(&self) -> Vec<(StageKey, HistogramReading)> {
        self.0.load().iter().map(|(key, histogram)| (*key, histogram.read())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use peapod_trace::{SpanContext, SpanOutcome, SpanSubject, StageKind, StageSpan};

    use super::*;

    fn tree(kind: &'static StageKind) -> SpanTree {
        let stage = StageSpan {
            kind,
            detail: None,
            parent: None,
            begin_us: 1000,
            end_us: Some(501_000),
            failed: false,
            progress: None,
        };
        SpanTree {
            name: "StartContainer",
            is_call: true,
            subject: SpanSubject::default(),
            context: SpanContext { trace_id: 1, span_id: 1, parent_id: None, sampled: true },
            begun_at: UNIX_EPOCH,
            micros: 502_000,
            outcome: SpanOutcome::Done,
            stages: Box::new([stage]),
            left_out: 0,
        }
    }

    #[test]
    fn stages_are_counted_up_to_a_bound() {
        let measures = StageMeasures::default();
        measures.observe(&tree(&CHECK));
        assert!(measures.read().is_empty(), "every call has that one");
        for number in 0..2 * STAGES_MEASURED {
            let name = Box::leak(format!("stage {number}").into_boxed_str());
            let kind = Box::leak(Box::new(StageKind { name, awaited: "it" }));
            measures.observe(&tree(kind));
            measures.observe(&tree(kind));
        }
        let read = measures.read();
        assert_eq!(read.len(), STAGES_MEASURED);
        let (key, counted) = &read[0];
        assert_eq!((*key, counted.count, counted.sum), (("StartContainer", "stage 0"), 2, 1.0));
    }
}
