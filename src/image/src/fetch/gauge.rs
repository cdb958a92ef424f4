//! How far a file has grown, and reading it while it grows.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The writer's end: says how much can be read. Dropping it without [`Growth::finish`] tells the reader to give up.
pub(super) struct Growth {
    gauge: Arc<Gauge>,
}

#[derive(Debug)]
struct Gauge {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct State {
    written: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    Abandoned,
}

/// The reader's end: blocks where the writer has not come yet.
pub(super) struct Growing {
    file: Arc<File>,
    gauge: Arc<Gauge>,
    position: u64,
}

/// Joins a writer and a reader of `file`, of which `written` bytes are there already.
pub(super) fn growing(file: Arc<File>, written: u64) -> (Growth, Growing) {
    let state = Mutex::new(State { written, end: End::Open });
    let gauge = Arc::new(Gauge { state, changed: Condvar::new() });
    (Growth { gauge: Arc::clone(&gauge) }, Growing { file, gauge, position: 0 })
}

impl Growth {
    pub(super) fn written(&self, total: u64) {
        self.set(|state| state.written = total);
    }

    /// Nothing more will come.
    pub(super) fn finish(self) {
        self.set(|state| state.end = End::Finished);
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.gauge.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.gauge.changed.notify_all();
    }
}

impl Drop for Growth {
    fn drop(&mut self) {
        self.set(|state| {
            if state.end == End::Open {
                state.end = End::Abandoned;
            }
        });
    }
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let written = {
            let state = self.gauge.state.lock().unwrap_or_else(PoisonError::into_inner);
            // The writer either writes, finishes or is dropped, each within its own time limits: this wait ends.
            let state = self
                .gauge
                .changed
                .wait_while(state, |state| state.end == End::Open && state.written <= self.position)
                .unwrap_or_else(PoisonError::into_inner);
            if state.end == End::Abandoned {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer was broken off"));
            }
            state.written
        };
        let ready = usize::try_from(written.saturating_sub(self.position)).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..ready], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::growing;
    use std::io::{Read, Write};
    use std::sync::Arc;

    #[test]
    fn a_reader_waits_for_the_writer_and_sees_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let (growth, mut reader) = growing(Arc::new(file.try_clone().unwrap()), 0);
        let reading = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        for (index, part) in ["one ", "two ", "three"].iter().enumerate() {
            file.write_all(part.as_bytes()).unwrap();
            growth.written([4, 8, 13][index]);
        }
        growth.finish();
        assert_eq!(reading.join().unwrap().unwrap(), "one two three");
    }

    #[test]
    fn a_reader_gives_up_when_the_writer_is_gone() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (growth, mut reader) = growing(file, 0);
        drop(growth);
        assert!(reader.read(&mut [0; 8]).is_err());
    }
}
