//! Collects what commands write, all of them together within a budget.
//!
//! A little is kept of every command without asking. Whatever has written more needs a medium slot, then a large one;
//! of both the node has a few and each pod has less. A slot covers all that its command may still write, so that who
//! has one comes to its end: a budget of single bytes could be used up by commands that all wait for more of it. Who
//! waits for a slot does not read, and the command waits in its pipe, as behind any slow reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::bounds::{
    EXEC_LARGE_SLOTS, EXEC_LARGE_SLOTS_OF_POD, EXEC_MEDIUM_SLOTS, EXEC_MEDIUM_SLOTS_OF_POD, EXEC_OUTPUT_FREE,
    EXEC_OUTPUT_MEDIUM, EXEC_OUTPUT_WAIT,
};
use crate::error::Error;

/// Bytes read at once.
const BUFFER: usize = 16 << 10;

/// Slots of the node, or of one pod.
#[derive(Debug)]
pub(crate) struct OutputSlots {
    medium: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl OutputSlots {
    pub(crate) fn of_node() -> Self {
        Self::new(EXEC_MEDIUM_SLOTS, EXEC_LARGE_SLOTS)
    }

    pub(crate) fn of_pod() -> Self {
        Self::new(EXEC_MEDIUM_SLOTS_OF_POD, EXEC_LARGE_SLOTS_OF_POD)
    }

    fn new(medium: usize, large: usize) -> Self {
        Self { medium: Arc::new(Semaphore::new(medium)), large: Arc::new(Semaphore::new(large)) }
    }
}

/// A place in memory for a command's output. It is free for others when this is dropped, so whoever passes the output
/// on keeps it until the output is gone.
#[derive(Debug)]
pub struct OutputSlot {
    _of_pod: OwnedSemaphorePermit,
    _of_node: OwnedSemaphorePermit,
}

/// How much of a command's output is covered.
#[derive(Debug, Default)]
enum Cover {
    #[default]
    Free,
    Medium(OutputSlot),
    Large(OutputSlot),
}

/// What was read of a command, also when reading was given up.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    cover: Cover,
}

/// The slots of a command's node and pod.
pub(super) struct Budget<'a> {
    node: &'a OutputSlots,
    pod: &'a OutputSlots,
    /// Waits for slots that began or ended so far: odd during one.
    waits: AtomicU32,
}

impl<'a> Budget<'a> {
    pub(super) fn new(node: &'a OutputSlots, pod: &'a OutputSlots) -> Self {
        Self { node, pod, waits: AtomicU32::new(0) }
    }

    /// Another number than before if a slot was waited for meanwhile, and an odd one if that still goes on.
    pub(super) fn waits(&self) -> u32 {
        self.waits.load(Ordering::Relaxed)
    }

    /// The pod's slot first: its own commands wait for each other, not the node's.
    async fn slot(&self, which: impl Fn(&OutputSlots) -> &Arc<Semaphore>) -> Result<OutputSlot, Error> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let both = async {
            let of_pod = Arc::clone(which(self.pod)).acquire_owned().await.ok()?;
            let of_node = Arc::clone(which(self.node)).acquire_owned().await.ok()?;
            Some(OutputSlot { _of_pod: of_pod, _of_node: of_node })
        };
        let slot = tokio::time::timeout(EXEC_OUTPUT_WAIT, both).await;
        self.waits.fetch_add(1, Ordering::Relaxed);
        slot.ok().flatten().ok_or(Error::OutputBusy(EXEC_OUTPUT_WAIT))
    }
}

impl Output {
    /// Reads both pipes to their ends, and keeps the first `limit` bytes of each.
    pub(super) async fn fill(
        &mut self,
        stdout: &pipe::Receiver,
        stderr: &pipe::Receiver,
        limit: usize,
        budget: &Budget<'_>,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            let from_out = tokio::select! {
                _ = stdout.readable(), if out_open => true,
                _ = stderr.readable(), if err_open => false,
            };
            let pipe = if from_out { stdout } else { stderr };
            let count = match pipe.try_read(&mut buffer) {
                Ok(count @ 1..) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Ok(_) | Err(_) => {
                    *(if from_out { &mut out_open } else { &mut err_open }) = false;
                    continue;
                }
            };
            let room = limit.saturating_sub(if from_out { self.stdout.len() } else { self.stderr.len() });
            let kept = &buffer[..count.min(room)];
            self.cover(kept.len(), budget).await?;
            if from_out { &mut self.stdout } else { &mut self.stderr }.extend_from_slice(kept);
        }
        Ok(())
    }

    /// Waits until so many more bytes may be kept.
    async fn cover(&mut self, more: usize, budget: &Budget<'_>) -> Result<(), Error> {
        loop {
            let bytes = self.stdout.len() + self.stderr.len() + more;
            self.cover = match &self.cover {
                Cover::Free if bytes > EXEC_OUTPUT_FREE => Cover::Medium(budget.slot(|slots| &slots.medium).await?),
                // The medium slot is given back once there is a large one, not before.
                Cover::Medium(_) if bytes > EXEC_OUTPUT_MEDIUM => {
                    Cover::Large(budget.slot(|slots| &slots.large).await?)
                }
                Cover::Free | Cover::Medium(_) | Cover::Large(_) => return Ok(()),
            };
        }
    }

    /// Both streams, and what has to be kept as long as they are.
    pub(super) fn into_parts(self) -> (Vec<u8>, Vec<u8>, Option<OutputSlot>) {
        let slot = match self.cover {
            Cover::Free => None,
            Cover::Medium(slot) | Cover::Large(slot) => Some(slot),
        };
        (self.stdout, self.stderr, slot)
    }
}
