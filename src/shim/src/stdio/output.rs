//! A container's output: first its log, then whoever listens. Each listener has a queue of its own. One that takes
//! things more slowly than they come slows the container down, as a terminal does; one that takes nothing for a while
//! loses its queue, and holds up nobody any more. Neither does any once the container has ended, or once all of them
//! together have held it up for long ([`Patience`]).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use peapod_shim_protocol::exit::Exit;
use peapod_sys::sync::lock;
use tokio::sync::{Notify, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::cri_log::CriLog;
use super::lines::Lines;
use super::patience::Patience;
use crate::bounds::{SUBSCRIBER_BYTES, SUBSCRIBER_FULL, SUBSCRIBER_PATIENCE, SUBSCRIBERS};
use crate::error::Error;

/// What an entry of a queue takes beside its bytes, at most.
const OVERHEAD: usize = 64;

/// One of a process's streams; a terminal is one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// A container's output. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ContainerOutput(Arc<SharedOutput>);

#[derive(Debug)]
struct SharedOutput {
    state: Mutex<OutputState>,
    /// Nobody is waited for any more.
    hurried: watch::Sender<bool>,
}

#[derive(Debug)]
struct OutputState {
    /// Not every container has one.
    log: Option<CriLog>,
    /// No more will come.
    ended: bool,
    exit: Option<Exit>,
    subscribers: Vec<Arc<Queue>>,
    /// With all of them together.
    patience: Patience,
}

/// What a subscriber hears, in this order: bytes, the end of all output, the exit. Nothing comes after the exit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Bytes {
        stream: Stream,
        /// As the container wrote them; shared by all subscribers.
        bytes: Arc<[u8]>,
    },
    OutputEnded,
    Exited(Exit),
}

/// A subscriber did not keep up: what waited for it was dropped, and nothing comes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reader of a container's output did not keep up: more than {limit} bytes waited for it")]
pub(crate) struct OutputLagged {
    limit: usize,
}

/// A subscriber's end. When it is dropped nothing is kept for it any more.
#[derive(Debug)]
pub(crate) struct OutputSubscription {
    queue: Arc<Queue>,
    done: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<Waiting>,
    news: Notify,
    /// Something was taken, or the reader has left.
    taken: Notify,
}

/// A subscriber that has no room for more.
struct FullQueue {
    bytes: usize,
    /// From then on nothing was taken.
    since: Instant,
}

/// What waits for a subscriber.
#[derive(Debug)]
enum Waiting {
    Events {
        events: VecDeque<Event>,
        bytes: usize,
        /// When something was taken last, or too much came to wait.
        moved: Instant,
    },
    Lagged,
    /// The reader has left.
    Left,
}

impl Default for Waiting {
    fn default() -> Self {
        Self::Events { events: VecDeque::new(), bytes: 0, moved: Instant::now() }
    }
}

impl ContainerOutput {
    /// Of a container whose output goes into a log.
    pub(crate) fn with_log(log: CriLog) -> Self {
        Self::new(Some(log))
    }

    /// Of one whose output is only for those who read along.
    pub(crate) fn without_log() -> Self {
        Self::new(None)
    }

    fn new(log: Option<CriLog>) -> Self {
        let patience = Patience::new(Instant::now());
        let state = Mutex::new(OutputState { log, ended: false, exit: None, subscribers: Vec::new(), patience });
        Self(Arc::new(SharedOutput { state, hurried: watch::Sender::new(false) }))
    }

    /// Waits until all readers have room for more. One that takes nothing for [`SUBSCRIBER_PATIENCE`] is dropped. For
    /// no longer than there is patience with all of them: then each is dropped as soon as too much waits for it.
    pub(super) async fn room(&self) {
        let mut hurried = self.0.hurried.subscribe();
        loop {
            let began = Instant::now();
            let Some(queue) = self.first_full() else { return };
            let Some(full) = queue.full() else { continue };
            let left = self.lock().patience.left(began);
            if left.is_zero() {
                // They may take something all the same.
                return yield_now().await;
            }
            tokio::select! {
                // The sender is `self`'s.
                _ = hurried.wait_for(|hurried| *hurried) => return,
                () = queue.taken.notified() => {}
                () = sleep_until(full.since + SUBSCRIBER_PATIENCE) => queue.lag(),
                () = sleep(left) => {}
            }
            let taken = full.bytes.saturating_sub(queue.bytes().unwrap_or(full.bytes));
            self.lock().patience.spend(began.elapsed(), taken);
        }
    }

    /// A reader that has no room for more.
    fn first_full(&self) -> Option<Arc<Queue>> {
        self.lock().subscribers.iter().find(|queue| queue.full().is_some()).cloned()
    }

    /// Whether a reader has no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.first_full().is_some()
    }

    /// The container has ended: its end waits for no reader.
    pub(crate) fn hurry(&self) {
        self.0.hurried.send_replace(true);
    }

    /// Takes bytes that the container wrote.
    pub(super) fn write(&self, stream: Stream, lines: &mut Lines, bytes: &[u8]) {
        let mut inner = self.lock();
        if let Some(log) = &mut inner.log {
            log.write(lines, bytes);
        }
        if !inner.subscribers.is_empty() {
            inner.publish(&Event::Bytes { stream, bytes: bytes.into() });
        }
    }

    /// A stream has ended, perhaps within a line.
    pub(super) fn finish(&self, lines: &mut Lines) {
        if let Some(log) = &mut self.lock().log {
            log.finish(lines);
        }
    }

    /// All streams have ended.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        if !std::mem::replace(&mut inner.ended, true) {
            inner.publish(&Event::OutputEnded);
        }
    }

    /// The container has exited, and its output was read as far as it will be.
    pub(crate) fn exited(&self, exit: Exit) {
        self.end();
        let mut inner = self.lock();
        inner.exit = Some(exit);
        inner.publish(&Event::Exited(exit));
        inner.subscribers = Vec::new();
    }

    /// Opens the log's path anew; on an error writing goes on in the old file. `None`: there is no log.
    pub(crate) fn reopen_log(&self) -> Option<Result<(), Error>> {
        let mut inner = self.lock();
        let log = inner.log.as_mut()?;
        Some(log.reopen().map_err(Error::io("open log", log.path())))
    }

    /// Hears what the container writes from now on, its end and its exit, also those that have been.
    pub(crate) fn subscribe(&self) -> Result<OutputSubscription, Error> {
        let mut inner = self.lock();
        inner.subscribers.retain(|queue| queue.has_reader());
        if inner.subscribers.len() >= SUBSCRIBERS {
            return Err(Error::Full { what: "readers of a container's output", limit: SUBSCRIBERS });
        }
        let queue = Arc::new(Queue::default());
        if inner.ended {
            queue.push(&Event::OutputEnded);
        }
        match inner.exit {
            Some(exit) => drop(queue.push(&Event::Exited(exit))),
            None => inner.subscribers.push(queue.clone()),
        }
        Ok(OutputSubscription { queue, done: false })
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        lock(&self.0.state)
    }
}

impl OutputState {
    /// Who has left or does not keep up is told nothing more.
    fn publish(&mut self, event: &Event) {
        self.subscribers.retain(|queue| queue.push(event));
    }
}

impl Queue {
    fn has_reader(&self) -> bool {
        !matches!(*lock(&self.state), Waiting::Left)
    }

    /// `Some`: there is no room for more.
    fn full(&self) -> Option<FullQueue> {
        match *lock(&self.state) {
            Waiting::Events { bytes, moved, .. } if bytes > SUBSCRIBER_FULL => Some(FullQueue { bytes, since: moved }),
            Waiting::Events { .. } | Waiting::Lagged | Waiting::Left => None,
        }
    }

    /// What waits for a reader; `None` of one that has left or did not keep up.
    fn bytes(&self) -> Option<usize> {
        match *lock(&self.state) {
            Waiting::Events { bytes, .. } => Some(bytes),
            Waiting::Lagged | Waiting::Left => None,
        }
    }

    /// The reader did not keep up.
    fn lag(&self) {
        let mut state = lock(&self.state);
        if let Waiting::Events { .. } = *state {
            *state = Waiting::Lagged;
            self.news.notify_one();
        }
    }

    /// Never waits. False: the reader did not keep up, or has left.
    fn push(&self, event: &Event) -> bool {
        let mut state = lock(&self.state);
        if let Waiting::Events { events, bytes, moved } = &mut *state {
            if *bytes <= SUBSCRIBER_FULL {
                *moved = Instant::now();
            }
            *bytes += event.size();
            if *bytes > SUBSCRIBER_BYTES {
                *state = Waiting::Lagged;
            } else {
                events.push_back(event.clone());
            }
        }
        let keeps_up = matches!(*state, Waiting::Events { .. });
        drop(state);
        self.news.notify_one();
        keeps_up
    }
}

impl Event {
    fn size(&self) -> usize {
        match self {
            Self::Bytes { bytes, .. } => bytes.len() + OVERHEAD,
            // They come once, and must not be what is too much.
            Self::OutputEnded | Self::Exited(_) => 0,
        }
    }
}

impl OutputSubscription {
    /// What comes next; `None` after the exit.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, OutputLagged> {
        loop {
            let news = self.queue.news.notified();
            if self.done {
                return Ok(None);
            }
            if let Some(event) = self.take()? {
                self.done = matches!(event, Event::Exited(_));
                return Ok(Some(event));
            }
            news.await;
        }
    }

    fn take(&self) -> Result<Option<Event>, OutputLagged> {
        match &mut *lock(&self.queue.state) {
            // Who has left asks for nothing.
            Waiting::Lagged | Waiting::Left => Err(OutputLagged { limit: SUBSCRIBER_BYTES }),
            Waiting::Events { events, bytes, moved } => {
                let event = events.pop_front();
                *moved = Instant::now();
                *bytes -= event.as_ref().map_or(0, Event::size);
                if events.is_empty() {
                    *events = VecDeque::new();
                }
                self.queue.taken.notify_one();
                Ok(event)
            }
        }
    }
}

impl Drop for OutputSubscription {
    fn drop(&mut self) {
        *lock(&self.queue.state) = Waiting::Left;
        self.queue.taken.notify_one();
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
