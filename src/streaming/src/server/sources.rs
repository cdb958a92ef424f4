//! Descriptors that are read from, of which one has something: as many as there are cost nothing while they are silent.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use tokio::task::coop::consume_budget;

use super::descriptor::StreamEnd;
use super::readiness::{Direction, Readiness};
use crate::spdy::StreamId;

/// Descriptors that are read from, by the stream on which it is sent.
#[derive(Debug, Default)]
pub(super) struct StreamSources {
    all: BTreeMap<StreamId, StreamSource>,
    waiting: FuturesUnordered<Abortable<Readiness>>,
    /// Those that may have something, in their order.
    ready: VecDeque<StreamId>,
}

#[derive(Debug)]
struct StreamSource {
    descriptor: Rc<StreamEnd>,
    waits: AbortHandle,
}

impl StreamSources {
    pub(super) fn add(&mut self, stream: StreamId, descriptor: Rc<StreamEnd>) {
        let waits = wait(&self.waiting, stream, &descriptor);
        self.all.insert(stream, StreamSource { descriptor, waits });
    }

    /// Whether that one is read from, or will be.
    pub(super) fn has(&self, stream: StreamId) -> bool {
        self.all.contains_key(&stream)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The next that may have something; it is then to be read, and [`again`](Self::again) or
    /// [`silent`](Self::silent) or [`remove`](Self::remove) says what came of that. Never, if none is `wanted`.
    pub(super) async fn next(&mut self, wanted: bool) -> (StreamId, Rc<StreamEnd>) {
        poll_fn(|cx| {
            // Also when none is wanted: those that were removed leave by it.
            while let Poll::Ready(Some(ready)) = self.waiting.poll_next_unpin(cx) {
                self.ready.extend(ready);
            }
            if wanted && !self.ready.is_empty() {
                // One that always has something, with a client that always takes it, would let no other session on.
                ready!(pin!(consume_budget()).poll(cx));
            }
            while wanted && let Some(stream) = self.ready.pop_front() {
                if let Some(source) = self.all.get(&stream) {
                    return Poll::Ready((stream, source.descriptor.clone()));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// It had something, and may have more. Others come first.
    pub(super) fn again(&mut self, stream: StreamId) {
        self.ready.push_back(stream);
    }

    /// It has nothing more for now.
    pub(super) fn silent(&mut self, stream: StreamId) {
        if let Some(source) = self.all.get_mut(&stream) {
            source.waits = wait(&self.waiting, stream, &source.descriptor);
        }
    }

    /// It is not read any more. True: it was until now.
    pub(super) fn remove(&mut self, stream: StreamId) -> bool {
        self.all.remove(&stream).inspect(|source| source.waits.abort()).is_some()
    }
}

fn wait(waiting: &FuturesUnordered<Abortable<Readiness>>, stream: StreamId, descriptor: &Rc<StreamEnd>) -> AbortHandle {
    let (handle, registration) = AbortHandle::new_pair();
    let readiness = Readiness { stream, descriptor: descriptor.clone(), direction: Direction::Read };
    waiting.push(Abortable::new(readiness, registration));
    handle
}
