//! Connecting to a port inside a pod's network namespace. A socket belongs to the namespace in which it was made, so a
//! short-lived thread makes it there, and the rest is done here.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};
use peapod_sys::watched;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::bounds::DIAL;

/// A connected socket, or why there is none, in words for the client.
pub(super) type Dialled = Result<OwnedFd, String>;

/// Connects to that port of localhost, with IPv4 first. Waits for its turn.
pub(super) async fn dial(network: Option<PathBuf>, turns: &Semaphore, port: u16) -> Dialled {
    let failed = |reason: String| format!("can't connect to port {port} of the pod: {reason}");
    // Never closed.
    let _turn = turns.acquire().await;
    let [v4, v6] = sockets(network).await.map_err(|error| failed(error.to_string()))?;
    let addresses = [(v4, IpAddr::V4(Ipv4Addr::LOCALHOST)), (v6, IpAddr::V6(Ipv6Addr::LOCALHOST))];
    let mut first = None;
    for (socket, address) in addresses {
        let connected = match socket {
            Ok(socket) => connect_to(socket, SocketAddr::new(address, port)).await,
            Err(error) => Err(error),
        };
        match connected {
            Ok(socket) => return Ok(socket),
            Err(error) => first = first.or(Some(error)),
        }
    }
    Err(failed(first.map_or_else(|| "no address".to_owned(), |error| reason(&error))))
}

/// A socket of each version of IP, made in that network namespace; without one, in the node's.
type Sockets = [io::Result<OwnedFd>; 2];

async fn sockets(network: Option<PathBuf>) -> io::Result<Sockets> {
    let Some(network) = network else { return Ok(make()) };
    let (answer, made) = oneshot::channel();
    std::thread::Builder::new().name("dial".to_owned()).spawn(move || {
        // Who does not wait for it any more needs none.
        let _ = answer.send(make_in(&network));
    })?;
    made.await.unwrap_or_else(|_| Err(io::Error::other("the thread ended early")))
}

fn make_in(network: &Path) -> io::Result<Sockets> {
    let entered = std::fs::File::open(network).and_then(|network| Ok(setns(network, CloneFlags::CLONE_NEWNET)?));
    entered.map_err(|error| {
        io::Error::new(error.kind(), format!("can't enter the network {}: {error}", network.display()))
    })?;
    Ok(make())
}

fn make() -> Sockets {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    [AddressFamily::INET, AddressFamily::INET6]
        .map(|family| socket_with(family, SocketType::STREAM, flags, None).map_err(io::Error::from))
}

async fn connect_to(socket: OwnedFd, address: SocketAddr) -> io::Result<OwnedFd> {
    match connect(&socket, &address) {
        Ok(()) => return Ok(socket),
        Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = watched(socket)?;
    let connected = async {
        socket.writable().await?.retain_ready();
        sockopt::socket_error(&socket)?.map_err(io::Error::from)
    };
    timeout(DIAL, connected).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(socket.into_inner())
}

/// As programs that connect say it.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => format!("nobody has accepted within {} s", DIAL.as_secs()),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    async fn dial_here(port: u16) -> Dialled {
        dial(None, &Semaphore::new(1), port).await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn connects_by_either_version() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // A machine without IPv6 has nobody to listen there.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let socket = dial_here(listener.local_addr().unwrap().port()).await.unwrap();
            let mut stream = TcpStream::from(socket);
            stream.set_nonblocking(false).unwrap();
            stream.write_all(b"hello").unwrap();
            drop(stream);
            let mut text = String::new();
            listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn says_why_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let refused = dial_here(port).await.unwrap_err();
        assert_eq!(refused, format!("can't connect to port {port} of the pod: connection refused"));
        let nowhere = Some(PathBuf::from("/run/netns/no-such-network"));
        let gone = dial(nowhere, &Semaphore::new(1), 80).await.unwrap_err();
        assert!(gone.contains("/run/netns/no-such-network"), "{gone}");
    }
}
