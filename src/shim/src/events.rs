//! What happened, numbered, kept until the master has acknowledged it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use peapod_shim_protocol::extension::Event;
use peapod_shim_protocol::extension::event::Kind;
use peapod_sys::sync::lock;
use tokio::sync::watch;

use crate::log;

/// How many events wait for a master that does not come. Every container's end is in its exit file too.
const LIMIT: usize = 4096;

/// The pod's events.
#[derive(Debug)]
pub(crate) struct Events {
    kept: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), last: watch::Sender::new(0) }
    }

    /// The number of the newest.
    pub(crate) fn last(&self) -> u64 {
        *self.last.borrow()
    }

    pub(crate) fn push(&self, container: &str, kind: Kind) {
        let seq = self.last() + 1;
        let event = Event { seq, container_id: container.to_owned(), kind: Some(kind), ..Event::default() };
        let mut kept = lock(&self.kept);
        if kept.len() >= LIMIT
            && let Some(lost) = kept.pop_front()
        {
            log::warn("an event nobody asked for is dropped", &[("seq", &lost.seq), ("container", &lost.container_id)]);
        }
        kept.push_back(event);
        drop(kept);
        self.last.send_replace(seq);
    }

    /// Forgets all up to `after` and answers what came later; waits for it up to `wait`.
    pub(crate) async fn after(&self, after: u64, wait: Duration) -> Vec<Event> {
        let mut last = self.last.subscribe();
        // An error would mean that the sender is gone, which is `self`.
        let _ = tokio::time::timeout(wait, last.wait_for(|last| *last > after)).await;
        let mut kept = lock(&self.kept);
        kept.retain(|event| event.seq > after);
        kept.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited() -> Kind {
        Kind::InitExited(peapod_shim_protocol::extension::InitExited::new())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn keeps_until_acknowledged() {
        let events = Events::new();
        assert!(events.after(0, Duration::from_millis(1)).await.is_empty());
        events.push("a", exited());
        events.push("b", exited());
        let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!(seqs(events.after(0, Duration::ZERO).await), [1, 2]);
        assert_eq!(seqs(events.after(0, Duration::ZERO).await), [1, 2]);
        assert_eq!(seqs(events.after(1, Duration::ZERO).await), [2]);
        assert_eq!(seqs(events.after(2, Duration::ZERO).await), []);
        assert_eq!(events.last(), 2);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn is_bounded() {
        let events = Events::new();
        for _ in 0..LIMIT + 3 {
            events.push("a", exited());
        }
        let kept = events.after(0, Duration::ZERO).await;
        assert_eq!(kept.len(), LIMIT);
        assert_eq!(kept[0].seq, 4);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn wakes_who_waits() {
        let events = std::sync::Arc::new(Events::new());
        let waiting = tokio::spawn({
            let events = events.clone();
            async move { events.after(0, Duration::from_secs(60)).await.len() }
        });
        tokio::task::yield_now().await;
        events.push("a", exited());
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
