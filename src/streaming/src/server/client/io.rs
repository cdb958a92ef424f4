//! A client's connection, plain or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::carrier::CarrierPipe;

/// Whether more is written at once, so that what is there can wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Comes,
    No,
}

/// A client's connection.
#[derive(Debug)]
pub(in crate::server) enum ClientIo {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ClientIo {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Whether the client has ended its side, although not all of it was read.
    pub(super) fn has_left(&self) -> bool {
        let ready = self.tcp().ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.map_or(true, Ready::is_read_closed))
    }

    /// Writes what the socket takes now, and answers how much. Why it takes nothing is seen when it is waited for.
    pub(super) fn write_now(&self, bytes: &[u8], more: More) -> usize {
        let flags = if more == More::Comes { SendFlags::MORE } else { SendFlags::empty() };
        match self {
            Self::Plain(tcp) => {
                tcp.try_io(Interest::WRITABLE, || Ok(rustix::net::send(tcp, bytes, flags)?)).unwrap_or(0)
            }
            Self::Tls(_) => 0,
        }
    }

    /// Whether the socket itself takes what is sent.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Has the socket take what a pipe holds, as far as it does so now. `None`: nothing of it.
    pub(super) fn pass_now(&self, pipe: &CarrierPipe, bytes: usize) -> Option<usize> {
        match self {
            Self::Plain(tcp) => pipe.unload(tcp, bytes).ok().filter(|taken| *taken > 0),
            Self::Tls(_) => None,
        }
    }

    /// Waits until the socket has taken some of what a pipe holds.
    pub(super) fn poll_pass(&self, cx: &mut Context<'_>, pipe: &CarrierPipe, bytes: usize) -> Poll<io::Result<usize>> {
        let tcp = self.tcp();
        loop {
            ready!(tcp.poll_write_ready(cx))?;
            match pipe.unload(tcp, bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Waits until a buffer is worth having.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            // What was decrypted and not read is known to it alone.
            Self::Tls(_) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
