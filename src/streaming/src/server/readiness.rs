//! Waiting for one descriptor of many.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::descriptor::StreamEnd;
use crate::spdy::StreamId;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// Answers the stream's number once its descriptor can be used.
#[derive(Debug)]
pub(super) struct Readiness {
    pub(super) stream: StreamId,
    pub(super) descriptor: Rc<StreamEnd>,
    pub(super) direction: Direction,
}

impl Future for Readiness {
    type Output = StreamId;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<StreamId> {
        let ready = match self.direction {
            Direction::Read => self.descriptor.poll_read_ready(cx),
            Direction::Write => self.descriptor.poll_write_ready(cx),
        };
        ready.map(|()| self.stream)
    }
}
