//! Spans that have ended, for those who ask afterwards: bounded in number and bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::bounds::{LAST_FAILED, LAST_FAILED_BYTES, LAST_OF_KIND, LAST_OF_KIND_BYTES};
use crate::outcome::SpanOutcome;
use crate::tree::SpanTree;

/// The last of each kind, and the last that failed.
#[derive(Debug, Default)]
pub(crate) struct KeptSpans {
    done: BTreeMap<&'static str, LastSpans>,
    failed: LastSpans,
}

/// Some spans, the oldest first.
#[derive(Debug, Default)]
struct LastSpans {
    spans: VecDeque<Arc<SpanTree>>,
    bytes: usize,
}

impl KeptSpans {
    pub(crate) fn add(&mut self, span: Arc<SpanTree>) {
        match span.outcome {
            SpanOutcome::Done | SpanOutcome::Running => {
                self.done.entry(span.name).or_default().add(span, LAST_OF_KIND, LAST_OF_KIND_BYTES);
            }
            SpanOutcome::Failed { .. } | SpanOutcome::Left => {
                self.failed.add(span, LAST_FAILED, LAST_FAILED_BYTES);
            }
        }
    }

    /// Those that are asked for, the oldest first.
    pub(crate) fn find(&self, is_one: impl Fn(&SpanTree) -> bool) -> Vec<Arc<SpanTree>> {
        let all = self.done.values().chain([&self.failed]).flat_map(|last| &last.spans);
        let mut found: Vec<_> = all.filter(|span| is_one(span)).cloned().collect();
        found.sort_by_key(|span| span.begun_at);
        found
    }
}

impl LastSpans {
    fn add(&mut self, span: Arc<SpanTree>, most: usize, most_bytes: usize) {
        self.bytes += span.bytes();
        self.spans.push_back(span);
        while self.spans.len() > most || self.bytes > most_bytes {
            let Some(oldest) = self.spans.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}
