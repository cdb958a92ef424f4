//! What waits for a slow reader. A container's lines wait in its log; what peapod has to say waits here, within bounds,
//! and whoever says it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::bounds::{CONSOLE_LINES, CONSOLE_LOGS, CONSOLE_NOTE_BYTES};

/// What a note takes beside its text, at least.
const NOTE: usize = 64;

/// The room between those who speak and the thread that writes.
#[derive(Debug)]
pub(super) struct WaitingRoom {
    /// For lines of containers.
    lines: Arc<Semaphore>,
    /// For bytes of notes.
    notes: Arc<Semaphore>,
    /// For logs of ended containers.
    logs: Arc<Semaphore>,
    /// For one word that something else is shown.
    shows: Arc<Semaphore>,
    /// For one word that all is settled, ever.
    settled: Semaphore,
    left_out: AtomicU64,
    /// What stands below all lines, by pod.
    shown: watch::Sender<BTreeMap<String, Vec<String>>>,
}

/// A place in it, which is free again when this is dropped.
pub(super) type Place = Option<OwnedSemaphorePermit>;

impl WaitingRoom {
    pub(super) fn new() -> Self {
        Self {
            lines: Arc::new(Semaphore::new(CONSOLE_LINES)),
            notes: Arc::new(Semaphore::new(CONSOLE_NOTE_BYTES)),
            logs: Arc::new(Semaphore::new(CONSOLE_LOGS)),
            shows: Arc::new(Semaphore::new(1)),
            settled: Semaphore::new(1),
            left_out: AtomicU64::new(0),
            shown: watch::Sender::new(BTreeMap::new()),
        }
    }

    /// Waits for a place for a line of a container.
    pub(super) async fn for_line(&self) -> Place {
        self.lines.clone().acquire_owned().await.ok()
    }

    /// No line of a container waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.available_permits() == CONSOLE_LINES
    }

    /// A place for a log that is printed while nobody waits for it.
    pub(super) fn for_log(&self) -> Place {
        self.logs.clone().try_acquire_owned().ok()
    }

    /// A place for so many bytes of a note. Without one it is left out, and counted.
    pub(super) fn for_note(&self, bytes: usize) -> Option<Place> {
        let wanted = u32::try_from((bytes + NOTE).min(CONSOLE_NOTE_BYTES)).unwrap_or(u32::MAX);
        let place = self.notes.clone().try_acquire_many_owned(wanted).ok();
        if place.is_none() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        place.map(Some)
    }

    /// Shows this from now on. A place for the word of it, unless one is still on its way.
    pub(super) fn for_show(&self, pod: &str, lines: Vec<String>) -> Option<Place> {
        self.shown.send_modify(|shown| {
            if lines.is_empty() {
                shown.remove(pod);
            } else {
                shown.insert(pod.to_owned(), lines);
            }
        });
        self.shows.clone().try_acquire_owned().ok().map(Some)
    }

    pub(super) fn shown(&self) -> BTreeMap<String, Vec<String>> {
        self.shown.borrow().clone()
    }

    /// Whether it is the first time that all is settled: nobody waits for another one.
    pub(super) fn settles(&self) -> bool {
        self.settled.try_acquire().map(tokio::sync::SemaphorePermit::forget).is_ok()
    }

    /// What there is to say of notes that were left out, once.
    pub(super) fn left_out(&self) -> Option<String> {
        match self.left_out.swap(0, Ordering::Relaxed) {
            0 => None,
            1 => Some("a line of peapod is left out here: nobody has read for too long".to_owned()),
            lines => Some(format!("{lines} lines of peapod are left out here: nobody has read for too long")),
        }
    }
}
