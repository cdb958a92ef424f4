//! Spans that wait to be sent: bounded in number, and in what they take of memory.

use std::sync::Arc;

use peapod_trace::SpanTree;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::bounds::{SPANS_WAITING, SPANS_WAITING_BYTES};

/// One that waits, or is being sent: it keeps its part of the memory until it is dropped.
#[derive(Debug)]
pub(super) struct WaitingSpan {
    pub(super) tree: Arc<SpanTree>,
    _room: OwnedSemaphorePermit,
}

/// Where they come in.
#[derive(Clone, Debug)]
pub(super) struct SpanQueue {
    waiting: mpsc::Sender<WaitingSpan>,
    /// A permit for each byte.
    room: Arc<Semaphore>,
}

/// An empty one, and who takes them out.
pub(super) fn queue() -> (SpanQueue, mpsc::Receiver<WaitingSpan>) {
    let (waiting, out) = mpsc::channel(SPANS_WAITING);
    (SpanQueue { waiting, room: Arc::new(Semaphore::new(SPANS_WAITING_BYTES)) }, out)
}

impl SpanQueue {
    /// Puts one behind the others; false if there is no room for it.
    pub(super) fn push(&self, tree: Arc<SpanTree>) -> bool {
        let Ok(bytes) = u32::try_from(tree.bytes()) else { return false };
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else { return false };
        self.waiting.try_send(WaitingSpan { tree, _room: room }).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use peapod_trace::{ANSWER, SpanSubject, Tracer};

    use super::*;

    fn tree(stages: usize) -> Arc<SpanTree> {
        let tracer = Tracer::new();
        let root = tracer.operation("PullImage", SpanSubject::default(), None, Instant::now(), &ANSWER);
        (0..stages).for_each(|_| drop(root.span().begin_on(&ANSWER, "x".repeat(300))));
        drop(root);
        tracer.last(|_| true).remove(0)
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (small, large) = (tree(0), tree(1000));
        let (queue, mut out) = queue();
        let many = (0..2 * SPANS_WAITING).filter(|_| queue.push(Arc::clone(&small))).count();
        assert_eq!(many, SPANS_WAITING);
        while out.try_recv().is_ok() {}
        let held: Vec<_> = (0..SPANS_WAITING)
            .take_while(|_| queue.push(Arc::clone(&large)))
            .map(|_| out.try_recv().unwrap())
            .collect();
        assert_eq!(held.len(), SPANS_WAITING_BYTES / large.bytes(), "those on their way count");
        drop(held);
        assert!(queue.push(large));
    }
}
