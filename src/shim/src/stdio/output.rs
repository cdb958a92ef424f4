//! A container's output: its log, which its reader and those who reopen it share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CriLog;
use super::lines::Lines;
use crate::error::Error;

/// A container's output. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Output(Arc<Mutex<CriLog>>);

impl Output {
    pub(crate) fn new(log: CriLog) -> Self {
        Self(Arc::new(Mutex::new(log)))
    }

    /// Takes bytes that the container wrote.
    pub(super) fn write(&self, lines: &mut Lines, bytes: &[u8]) {
        self.lock().write(lines, bytes);
    }

    /// A stream has ended, perhaps within a line.
    pub(super) fn finish(&self, lines: &mut Lines) {
        self.lock().finish(lines);
    }

    /// Opens the log's path anew; on an error writing goes on in the old file.
    pub(crate) fn reopen_log(&self) -> Result<(), Error> {
        let mut log = self.lock();
        let reopened = log.reopen();
        reopened.map_err(Error::io("open log", log.path()))
    }

    fn lock(&self) -> MutexGuard<'_, CriLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
