//! A netlink socket. It belongs to the network namespace in which it was opened, whatever thread uses it later.

use super::wire::{Incoming, NetlinkMessages, messages};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with, sockopt,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_DUMP_INTR: u16 = 0x10;

/// The kernel answers within the call that asks, but for the later parts of a dump, and these at once.
const DEADLINE: Duration = Duration::from_secs(5);
/// A dump's part is at most this long.
const PART: usize = 32 << 10;
/// Room for what is sent in one call and for its answers, whatever the node's own default is. Answers that find none
/// are lost.
const BUFFER: usize = 256 << 10;
/// How often a dump is repeated because what it shows was changed meanwhile.
const DUMP_ATTEMPTS: usize = 8;

/// Which part of the kernel to talk to.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    /// Links, addresses, routes.
    Route,
    /// nftables and connection tracking.
    Netfilter,
    /// The sockets of the node.
    SocketDiagnosis,
}

/// An open netlink socket.
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    pub(crate) fn open(family: Family) -> io::Result<Self> {
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
            Family::SocketDiagnosis => Some(netlink::SOCK_DIAG),
        };
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(DEADLINE))?;
        // Without the right to it the default stays, which is nearly as large unless somebody made it small.
        let _ = sockopt::set_socket_send_buffer_size_force(&fd, BUFFER);
        let _ = sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER);
        Ok(Self { fd, sequence: 0 })
    }

    /// One that hears what the kernel tells these groups, a bit for each. It asks for nothing.
    pub(crate) fn listening(family: Family, groups: u32) -> io::Result<Self> {
        let socket = Self::open(family)?;
        bind(&socket.fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(socket)
    }

    /// Gives `each` the kind and the body of everything that was told since the last time, without waiting.
    ///
    /// # Errors
    /// Something was told that is lost.
    pub(crate) fn hear(&mut self, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut part = vec![0; PART];
        loop {
            match recv(&self.fd, part.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    let told = messages(part.get(..length).unwrap_or_default());
                    told.for_each(|message| each(message.kind, message.body));
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// The descriptor, for calls about the namespace that are not netlink's.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Sends all messages in one call; gives how the kernel answered: the index of the message and its error, if any.
    ///
    /// The kernel works on a request within the call, so all answers are there when it returns. Answers that find no
    /// room are an error (ENOBUFS): callers that have much to ask do it in several calls.
    pub(crate) fn exchange(&mut self, messages: NetlinkMessages) -> io::Result<Vec<(u32, Option<Errno>)>> {
        let count = messages.count();
        let first = self.send(messages)?;
        let mut answers = Vec::new();
        let mut lost = None;
        let mut part = vec![0; PART];
        loop {
            match recv(&self.fd, part.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    for message in super::wire::messages(part.get(..length).unwrap_or_default()) {
                        // An answer to an earlier call that was given up is not for us.
                        let index = message.sequence.wrapping_sub(first);
                        if message.kind == NLMSG_ERROR && index < count {
                            answers.push((index, error(&message)));
                        }
                    }
                }
                Err(Errno::AGAIN) => return lost.map_or(Ok(answers), |errno: Errno| Err(errno.into())),
                Err(Errno::INTR) => {}
                // What did come has to be read all the same, or the next call's answers find no room either.
                Err(errno @ Errno::NOBUFS) => lost = Some(errno),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sends requests which all ask for an acknowledgement; the first error counts, with the index of its request.
    pub(crate) fn request(&mut self, messages: NetlinkMessages) -> Result<(), (u32, io::Error)> {
        let count = messages.count();
        let answers = self.exchange(messages).map_err(|error| (0, error))?;
        if let Some((index, errno)) = answers.iter().find_map(|(index, errno)| errno.map(|errno| (*index, errno))) {
            return Err((index, errno.into()));
        }
        match u32::try_from(answers.len()) {
            Ok(answered) if answered == count => Ok(()),
            _ => Err((0, io::Error::new(io::ErrorKind::InvalidData, "the kernel did not answer every request"))),
        }
    }

    /// Sends one dumping request and gives `each` the body of every answer.
    pub(crate) fn dump(&mut self, build: impl Fn(&mut NetlinkMessages), mut each: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut request = NetlinkMessages::default();
            build(&mut request);
            let first = self.send(request)?;
            // What was seen of an interrupted dump is true as well, only not complete: showing it twice is harmless.
            if self.read_dump(first, &mut each)? {
                return Ok(());
            }
        }
        Err(Errno::INTR.into())
    }

    /// Reads to the end of a dump; false if it was interrupted by a change.
    fn read_dump(&mut self, sequence: u32, each: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let mut whole = true;
        let mut part = vec![0; PART];
        loop {
            let length = match recv(&self.fd, part.as_mut_slice(), RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            for message in messages(part.get(..length).unwrap_or_default()) {
                if message.sequence != sequence {
                    continue;
                }
                whole &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return error(&message).map_or(Ok(whole), |errno| Err(errno.into())),
                    _ => each(message.body),
                }
            }
        }
    }

    /// Sends and gives the sequence number of the first message.
    fn send(&mut self, messages: NetlinkMessages) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(messages.count());
        let bytes = messages.numbered(first);
        let kernel = SocketAddrNetlink::new(0, 0);
        loop {
            match sendto(&self.fd, &bytes, SendFlags::empty(), &kernel) {
                Ok(_) => return Ok(first),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The error number at the beginning of an answer, negative on the wire; 0 is none.
fn error(message: &Incoming<'_>) -> Option<Errno> {
    let code = super::wire::u32_of(message.body)?.cast_signed();
    (code != 0).then(|| Errno::from_raw_os_error(code.wrapping_neg()))
}
