//! Warnings that say each thing once.

use std::collections::HashSet;
use std::sync::Mutex;

use peapod_spec::Note;
use peapod_sys::sync::lock;

/// Different warnings that are remembered. A client that makes them differ on purpose gets no more of them.
const REMEMBERED: usize = 256;

/// What the node can't grant is logged once, not for each container.
#[derive(Debug, Default)]
pub(crate) struct WarnOnce(Mutex<HashSet<Note>>);

impl WarnOnce {
    /// Logs those that were not logged before.
    pub(crate) fn warn(&self, notes: impl IntoIterator<Item = Note>) {
        for note in notes {
            let mut logged = lock(&self.0);
            if logged.len() < REMEMBERED && !logged.contains(&note) {
                tracing::warn!("{note} (said once)");
                logged.insert(note);
            }
        }
    }
}
