//! Connected sockets that keep the borders of messages, and the listening ones that they come from.

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use peapod_sys::watched;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recvmsg, sendmsg, socket_with, socketpair, sockopt,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::bounds::{MESSAGE_BYTES, MESSAGE_DESCRIPTORS};
use crate::message::{DecodeError, SessionMessage};

/// Sessions that wait to be accepted: more than begin while the server handles one event.
const BACKLOG: i32 = 1024;
/// Every socket here is.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// One end of a connection: sends messages of type `S`, receives those of type `R`.
#[derive(Debug)]
pub struct PacketConnection<S, R> {
    socket: AsyncFd<OwnedFd>,
    // Of both directions, and sendable whatever they are.
    messages: PhantomData<fn(S) -> R>,
}

impl<S: SessionMessage, R: SessionMessage> PacketConnection<S, R> {
    /// An end, and the other as a descriptor for another process: blocking or not is one property of both.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Panics
    /// Outside of a runtime of tokio's that does I/O, as all that makes an end.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        Ok((Self::new(ours)?, theirs))
    }

    /// An end that was inherited or received.
    ///
    /// # Errors
    /// When it is no such socket; what the kernel says.
    pub fn from_descriptor(socket: OwnedFd) -> io::Result<Self> {
        check_kind(socket.as_fd())?;
        Self::new(socket)
    }

    /// Connects to a [`PacketListener`], at once.
    ///
    /// # Errors
    /// `WouldBlock` when too many wait to be accepted; what the kernel says, as that nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::new(socket)
    }

    fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: watched(socket)?, messages: PhantomData })
    }

    /// Sends a message and hands over copies of the descriptors that belong to it. Waits while the socket is full. What
    /// was sent is all of a message or nothing, also if the call is dropped.
    ///
    /// # Errors
    /// `BrokenPipe` when the other end is gone; `InvalidInput` when those are not the descriptors of that message; what
    /// else the kernel says.
    pub async fn send(&self, message: &S, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let datagram = message.encode();
        if descriptors.len() != message.descriptors() || datagram.len() > MESSAGE_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.socket.async_io(Interest::WRITABLE, |socket| send_once(socket.as_fd(), &datagram, descriptors)).await
    }

    /// The next message with its descriptors, which close in the programs that this process runs; `None` when the other
    /// end is gone. A call that is dropped has taken nothing.
    ///
    /// # Errors
    /// `InvalidData` for what is no message ([`DecodeError`]): its descriptors are closed; what the kernel says.
    pub async fn recv(&self) -> io::Result<Option<(R, Vec<OwnedFd>)>> {
        let received = self.socket.async_io(Interest::READABLE, |socket| receive_once(socket.as_fd())).await?;
        let Some((datagram, descriptors)) = received else { return Ok(None) };
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let message = R::decode(&datagram).map_err(invalid)?;
        let (got, expected) = (descriptors.len(), message.descriptors());
        if got != expected {
            return Err(invalid(DecodeError::Descriptors { got, expected }));
        }
        Ok(Some((message, descriptors)))
    }
}

impl<S, R> AsFd for PacketConnection<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }
}

fn send_once(socket: BorrowedFd<'_>, datagram: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    sendmsg(socket, &[IoSlice::new(datagram)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// `None`: the other end is gone.
fn receive_once(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = [0; MESSAGE_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut receive = || recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let received = match receive() {
        // Told once: the other end left without reading all. What it sent before is still to be had.
        Err(Errno::CONNRESET) => receive(),
        other => other,
    }?;
    // Those of a message that is refused close here.
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => rights.collect(),
            _ => Vec::new(),
        })
        .collect();
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, DecodeError::TooLarge));
    }
    let datagram = bytes.get(..received.bytes).unwrap_or_default();
    // No message is empty.
    Ok(if datagram.is_empty() { None } else { Some((datagram.to_vec(), descriptors)) })
}

fn check_kind(socket: BorrowedFd<'_>) -> io::Result<()> {
    if sockopt::socket_type(socket)? == SocketType::SEQPACKET {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "no socket that keeps the borders of messages"))
}

/// Where shims connect to open sessions.
#[derive(Debug)]
pub struct PacketListener(AsyncFd<OwnedFd>);

impl PacketListener {
    /// A listening socket at a path that does not exist yet, for the process that will accept there. It stays when the
    /// socket is closed: who made it removes it.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn bind(path: &Path) -> io::Result<OwnedFd> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, FLAGS, None)?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// One that was inherited or received.
    ///
    /// # Errors
    /// When it is no such socket; what the kernel says.
    pub fn from_descriptor(socket: OwnedFd) -> io::Result<Self> {
        check_kind(socket.as_fd())?;
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no listening socket"));
        }
        Ok(Self(watched(socket)?))
    }

    /// The next connection. A call that is dropped has taken none.
    ///
    /// # Errors
    /// What the kernel says, as that there are no descriptors left; the connection then still waits.
    pub async fn accept<S: SessionMessage, R: SessionMessage>(&self) -> io::Result<PacketConnection<S, R>> {
        let accept = |socket: &OwnedFd| Ok(accept_with(socket, FLAGS)?);
        PacketConnection::new(self.0.async_io(Interest::READABLE, accept).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use super::*;
    use crate::{CommandStreams, SessionEnd, SessionToken, ShimEnd, ToSession, ToShim};

    const BOTH: CommandStreams = CommandStreams { tty: false, stdin: true, stdout: true, stderr: false };

    async fn connected() -> (ShimEnd, SessionEnd) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = PacketListener::from_descriptor(PacketListener::bind(&path).unwrap()).unwrap();
        let shim = ShimEnd::connect(&path).unwrap();
        (shim, listener.accept().await.unwrap())
    }

    /// What an error is about, if it is about a message.
    fn decode_error(error: &io::Error) -> Option<DecodeError> {
        error.get_ref()?.downcast_ref().copied()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn messages_keep_their_descriptors() {
        let (shim, server) = connected().await;
        let token = SessionToken::random().unwrap();
        shim.send(&ToSession::Hello { token }, &[]).await.unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        shim.send(&ToSession::Started { streams: BOTH }, &[writer.as_fd(), reader.as_fd()]).await.unwrap();
        drop((reader, writer));
        let (hello, none) = server.recv().await.unwrap().unwrap();
        assert_eq!((hello, none.len()), (ToSession::Hello { token }, 0));
        let (started, descriptors) = server.recv().await.unwrap().unwrap();
        assert_eq!(started, ToSession::Started { streams: BOTH });
        let [writer, reader]: [OwnedFd; 2] = descriptors.try_into().unwrap();
        for descriptor in [&writer, &reader] {
            assert!(rustix::io::fcntl_getfd(descriptor).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
        File::from(writer).write_all(b"through").unwrap();
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_was_sent_before_the_end_is_received() {
        let (shim, server) = connected().await;
        // What the other end has not read makes the kernel tell a broken connection first.
        server.send(&ToShim::Resize { width: 80, height: 24 }, &[]).await.unwrap();
        shim.send(&ToSession::Exited { code: 3 }, &[]).await.unwrap();
        drop(shim);
        assert_eq!(server.recv().await.unwrap().unwrap().0, ToSession::Exited { code: 3 });
        assert!(server.recv().await.unwrap().is_none());
        let error = server.send(&ToShim::Dial { id: 1, port: 80 }, &[]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn descriptors_that_do_not_belong_to_a_message_are_refused() {
        let (shim, server) = connected().await;
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let error = shim.send(&ToSession::Started { streams: BOTH }, &[reader.as_fd()]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        // One that does not check what it sends.
        send_once(shim.as_fd(), &ToSession::Lagged.encode(), &[reader.as_fd()]).unwrap();
        let error = server.recv().await.unwrap_err();
        assert_eq!(decode_error(&error), Some(DecodeError::Descriptors { got: 1, expected: 0 }));
        drop(reader);
        // Nobody has the reader any more.
        assert_eq!(rustix::io::write(&writer, b"x").unwrap_err(), Errno::PIPE);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_too_large_is_refused() {
        let (shim, server) = connected().await;
        send_once(shim.as_fd(), &[5; MESSAGE_BYTES + 1], &[]).unwrap();
        assert_eq!(decode_error(&server.recv().await.unwrap_err()), Some(DecodeError::TooLarge));
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let many = [reader.as_fd(); 10 * MESSAGE_DESCRIPTORS];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(10 * MESSAGE_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        let datagram = ToSession::Lagged.encode();
        sendmsg(&shim, &[IoSlice::new(&datagram)], &mut control, SendFlags::NOSIGNAL).unwrap();
        assert_eq!(decode_error(&server.recv().await.unwrap_err()), Some(DecodeError::TooLarge));
        drop(reader);
        assert_eq!(rustix::io::write(&writer, b"x").unwrap_err(), Errno::PIPE);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn other_sockets_are_refused() {
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(ShimEnd::from_descriptor(stream.into()).is_err());
        let (_ours, theirs) = ShimEnd::pair().unwrap();
        assert!(PacketListener::from_descriptor(theirs).is_err());
        let dir = tempfile::tempdir().unwrap();
        assert!(ShimEnd::connect(&dir.path().join("nobody")).is_err());
    }
}
