//! How far a file has grown, and reading it while it grows.

use peapod_sys::sync::{lock, wait_while};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The writer's end: says how much can be read. Dropping it without [`TailWriter::finish`] tells the reader to give up.
pub(super) struct TailWriter {
    tail: Arc<Tail>,
}

#[derive(Debug)]
struct Tail {
    state: Mutex<TailState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug)]
struct TailState {
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
pub(super) struct TailReader {
    file: Arc<File>,
    tail: Arc<Tail>,
    position: u64,
    permit: Option<Permit>,
}

/// The right to work on what is read. It is given back while there is nothing to read.
pub(super) struct Permit {
    permits: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    runtime: Handle,
}

impl Permit {
    /// Waits for one. To be called within the runtime.
    pub(super) async fn wait(permits: &Arc<Semaphore>) -> Self {
        let held = Arc::clone(permits).acquire_owned().await.ok();
        Self { permits: Arc::clone(permits), held, runtime: Handle::current() }
    }

    fn take(&mut self) {
        if self.held.is_none() {
            self.held = self.runtime.block_on(Arc::clone(&self.permits).acquire_owned()).ok();
        }
    }
}

/// Says that the work is still wanted; dropping it makes the reader give up, also when all bytes have come.
pub(super) struct Interest(Arc<Tail>);

impl Drop for Interest {
    fn drop(&mut self) {
        self.0.set(|state| state.end = End::Abandoned);
    }
}

/// Joins a writer and a reader of `file`, of which `written` bytes are there already.
pub(super) fn tail(file: Arc<File>, written: u64) -> (TailWriter, TailReader, Interest) {
    tail_from(file, 0, written)
}

/// The same, read from a position in the file on.
pub(super) fn tail_from(file: Arc<File>, position: u64, written: u64) -> (TailWriter, TailReader, Interest) {
    let state = Mutex::new(TailState { written, end: End::Open });
    let tail = Arc::new(Tail { state, changed: Condvar::new() });
    let reader = TailReader { file, tail: Arc::clone(&tail), position, permit: None };
    (TailWriter { tail: Arc::clone(&tail) }, reader, Interest(tail))
}

impl TailWriter {
    pub(super) fn written(&self, total: u64) {
        self.tail.set(|state| state.written = total);
    }

    /// Nothing more will come.
    pub(super) fn finish(self) {
        self.tail.set(|state| {
            if state.end == End::Open {
                state.end = End::Finished;
            }
        });
    }
}

impl Tail {
    fn set(&self, change: impl FnOnce(&mut TailState)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }
}

impl TailReader {
    /// From now on reading needs this, but waiting does not.
    pub(super) fn with(self, permit: Permit) -> Self {
        Self { permit: Some(permit), ..self }
    }
}

impl Drop for TailWriter {
    fn drop(&mut self) {
        self.tail.set(|state| {
            if state.end == End::Open {
                state.end = End::Abandoned;
            }
        });
    }
}

impl Read for TailReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let written = {
            let waits = |state: &TailState| state.end == End::Open && state.written <= self.position;
            let state = lock(&self.tail.state);
            if waits(&state)
                && let Some(permit) = &mut self.permit
            {
                permit.held = None;
            }
            // The writer either writes, finishes or is dropped, each within its own time limits: this wait ends.
            let state = wait_while(&self.tail.changed, state, |state| waits(state));
            if state.end == End::Abandoned {
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the transfer was broken off"));
            }
            state.written
        };
        if let Some(permit) = &mut self.permit {
            permit.take();
        }
        let ready = usize::try_from(written.saturating_sub(self.position)).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..ready], self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Permit, tail};
    use std::io::{Read, Write};
    use std::os::unix::fs::FileExt;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[test]
    fn a_reader_waits_for_the_writer_and_sees_its_end() {
        let mut file = tempfile::tempfile().unwrap();
        let (writer, mut reader, _interest) = tail(Arc::new(file.try_clone().unwrap()), 0);
        let reading = std::thread::spawn(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        for (index, part) in ["one ", "two ", "three"].iter().enumerate() {
            file.write_all(part.as_bytes()).unwrap();
            writer.written([4, 8, 13][index]);
        }
        writer.finish();
        assert_eq!(reading.join().unwrap().unwrap(), "one two three");
    }

    #[test]
    fn a_reader_gives_up_when_the_writer_is_gone() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (writer, mut reader, _interest) = tail(Arc::clone(&file), 0);
        drop(writer);
        assert!(reader.read(&mut [0; 8]).is_err());
        // All has come, but nobody wants it any more.
        file.write_all_at(b"x", 0).unwrap();
        let (writer, mut reader, interest) = tail(file, 1);
        writer.finish();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
        drop(interest);
        assert!(reader.read(&mut [0; 8]).is_err());
    }

    #[tokio::test]
    async fn a_permit_is_not_kept_while_there_is_nothing_to_do() {
        let permits = Arc::new(Semaphore::new(1));
        let file = tempfile::tempfile().unwrap();
        let (writer, reader, _interest) = tail(Arc::new(file.try_clone().unwrap()), 0);
        let mut reader = reader.with(Permit::wait(&permits).await);
        assert!(Arc::clone(&permits).try_acquire_owned().is_err());
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = String::new();
            reader.read_to_string(&mut all).map(|_| all)
        });
        let other = Arc::clone(&permits).acquire_owned().await.unwrap();
        file.write_all_at(b"work", 0).unwrap();
        writer.written(4);
        writer.finish();
        tokio::task::yield_now().await;
        assert!(!reading.is_finished(), "there is one permit, and somebody has it");
        drop(other);
        assert_eq!(reading.await.unwrap().unwrap(), "work");
        assert_eq!(permits.available_permits(), 1);
    }
}
