//! What all clients share to be sent what comes from streams.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::super::descriptor::StreamEnd;
use super::carrier::CarrierPipe;
use crate::bounds::{LARGE_PIPES, LARGE_TRANSFER_BYTES, TRANSFER_BYTES};

/// What is read at once, at most.
pub(super) const PIECES: [usize; 2] = [TRANSFER_BYTES, LARGE_TRANSFER_BYTES];

/// Buffers for who has none, and the right to large ones. Of a client that takes what it is sent nothing waits: it
/// needs a buffer for a moment alone.
#[derive(Clone, Debug)]
pub(in crate::server) struct TransferBuffers {
    /// One for each of [`PIECES`], empty or none.
    spare: Rc<RefCell<[Vec<u8>; 2]>>,
    /// At most one.
    carrier: Rc<RefCell<Option<CarrierPipe>>>,
    large: Arc<Semaphore>,
}

impl TransferBuffers {
    pub(in crate::server) fn new() -> Self {
        Self { spare: Rc::default(), carrier: Rc::default(), large: Arc::new(Semaphore::new(LARGE_PIPES)) }
    }

    /// A buffer for a head and a piece.
    pub(super) fn take(&self, head: usize, piece: usize) -> Vec<u8> {
        let at = usize::from(piece > TRANSFER_BYTES);
        let mut buffer = std::mem::take(&mut self.spare.borrow_mut()[at]);
        buffer.resize(head, 0);
        buffer.reserve_exact(piece);
        buffer
    }

    pub(super) fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if let Some(at) = PIECES.iter().rposition(|piece| buffer.capacity() >= *piece) {
            self.spare.borrow_mut()[at] = buffer;
        }
    }

    /// A pipe that is empty; none where the kernel gives none.
    pub(super) fn take_carrier(&self) -> Option<CarrierPipe> {
        self.carrier.borrow_mut().take().or_else(|| CarrierPipe::new().ok())
    }

    /// For the next, if it is empty.
    pub(super) fn keep_carrier(&self, pipe: CarrierPipe) {
        if pipe.is_empty() {
            *self.carrier.borrow_mut() = Some(pipe);
        }
    }

    /// Larger pieces come from a pipe from now on, if not too many have that.
    pub(super) fn enlarge(&self, stream: &StreamEnd) {
        if stream.may_be_enlarged()
            && let Ok(right) = self.large.clone().try_acquire_owned()
        {
            stream.enlarge(right);
        }
    }
}
