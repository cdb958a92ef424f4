//! Which spans are sent, and how many at a time. Pure.

use peapod_trace::{SpanContext, SpanTree};

use super::queue::WaitingSpan;
use crate::bounds::SPANS_OF_BATCH;

/// Whether a span is sent: as its client has decided, and of those whose client says nothing so many in a hundred, by
/// the trace's number, so that all of a trace are or none.
pub(super) fn is_sampled(context: &SpanContext, percent: u64) -> bool {
    match context.parent_id {
        Some(_) => context.sampled,
        // The low half is random, in a trace of anybody's.
        None => u128::from(percent) << 64 > (context.trace_id & u128::from(u64::MAX)) * 100,
    }
}

/// How many spans a call and its stages are.
pub(super) fn spans(tree: &SpanTree) -> u64 {
    u64::try_from(tree.stages.len()).unwrap_or(u64::MAX).saturating_add(1)
}

/// What is sent at once.
#[derive(Debug, Default)]
pub(super) struct SpanBatch {
    waiting: Vec<WaitingSpan>,
    pub(super) spans: u64,
}

impl SpanBatch {
    pub(super) fn add(&mut self, one: WaitingSpan) {
        self.spans += spans(&one.tree);
        self.waiting.push(one);
    }

    pub(super) fn trees(&self) -> impl Iterator<Item = &SpanTree> {
        self.waiting.iter().map(|one| &*one.tree)
    }

    /// Whether there is no room for another one.
    pub(super) fn is_full(&self) -> bool {
        self.spans >= SPANS_OF_BATCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(trace_id: u128, parent: Option<bool>) -> SpanContext {
        let (parent_id, sampled) = (parent.map(|_| 7), parent.unwrap_or(true));
        SpanContext { trace_id, span_id: 1, parent_id, sampled }
    }

    #[test]
    fn a_client_decides_else_the_number_does() {
        for percent in [0, 100] {
            assert!(is_sampled(&context(1, Some(true)), percent));
            assert!(!is_sampled(&context(1, Some(false)), percent));
        }
        let step = u128::from(u64::MAX) / 1000 + 1;
        let sampled =
            |percent| (0..1000).filter(|number| is_sampled(&context((9 << 64) + number * step, None), percent)).count();
        assert_eq!([0, 1, 50, 100].map(sampled), [0, 10, 500, 1000]);
        assert!(is_sampled(&context(u128::MAX, None), 100));
    }
}
