//! A client's connection whose bytes are rewritten as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use super::Rewriter;

/// Bytes read at once.
const BUFFER: usize = 8 << 10;

/// The connection as the HTTP/2 library sees it.
pub(in crate::grpc) struct Rewritten {
    stream: UnixStream,
    rewriter: Rewriter,
    /// Rewritten, but not read yet; its first `read` bytes are.
    pending: Vec<u8>,
    read: usize,
    greeted: Arc<AtomicBool>,
}

impl Rewritten {
    /// `greeted` becomes true once the client has shown that it speaks HTTP/2.
    pub(in crate::grpc) fn new(stream: UnixStream, greeted: Arc<AtomicBool>) -> Self {
        Self { stream, rewriter: Rewriter::default(), pending: Vec::new(), read: 0, greeted }
    }

    fn hand_over(&mut self, to: &mut ReadBuf<'_>) {
        let rest = &self.pending[self.read..];
        let count = rest.len().min(to.remaining());
        to.put_slice(&rest[..count]);
        self.read += count;
        if self.read == self.pending.len() {
            // Not kept: most connections are idle most of the time.
            (self.pending, self.read) = (Vec::new(), 0);
        }
    }
}

impl AsyncRead for Rewritten {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.pending.is_empty() {
            let mut buffer = [0; BUFFER];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.rewriter.feed(buffer.filled(), &mut this.pending);
            if this.rewriter.is_greeted() {
                this.greeted.store(true, Ordering::Relaxed);
            }
        }
        this.hand_over(to);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewritten {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
