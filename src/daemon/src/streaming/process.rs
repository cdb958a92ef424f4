//! Starting the server: its sockets, the process, what it is told first.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use peapod_pod::Pods;
use peapod_streaming_protocol::{DaemonEnd, PacketListener, SERVER_NAME, SessionToken, ToDaemon, ToServer};
use peapod_sys::Program;
use tokio::time::timeout;

use super::tls::{self, TlsStamp};
use crate::config::{Config, TlsFiles};

/// Folder of the run root with its sockets, root's alone.
pub(crate) const FOLDER: &str = "streaming";
/// The daemon's own program, also after another file has taken its place.
const PROGRAM: &str = "/proc/self/exe";
/// How long it may take until it accepts clients.
const STARTED: Duration = Duration::from_secs(10);
/// After which the log says that the files of the certificate are waited for.
const SLOW: Duration = Duration::from_secs(10);

/// A server that has said that it accepts clients.
#[derive(Debug)]
pub(super) struct StartedServer {
    pub(super) end: DaemonEnd,
    /// Of what it serves, without a path.
    pub(super) url: String,
    pub(super) socket: SessionSocket,
}

/// Why there is no streaming server.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamingError {
    #[error("can't {what}")]
    Io { what: String, source: io::Error },
    #[error("it says nothing within {} s of its start", .0.as_secs())]
    Silent(Duration),
    #[error("it said {0:?} first")]
    Confused(ToDaemon),
    #[error("it can't serve: {0}")]
    Failed(String),
    #[error("it has ended, and with it all sessions")]
    Ended,
}

/// The path of the socket on which shims connect; gone with the server.
#[derive(Debug)]
pub(super) struct SessionSocket(PathBuf);

impl StreamingError {
    pub(super) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }
}

impl StartedServer {
    /// Starts one, and waits until it accepts clients; answers also what the files of its certificate looked like.
    pub(super) async fn start(config: &Config, pods: &Pods) -> Result<(Self, Option<TlsStamp>), StreamingError> {
        let settings = &config.streaming;
        let address = settings.address;
        let clients =
            TcpListener::bind(address).map_err(|error| StreamingError::io(format!("listen on {address}"), error))?;
        let bound = clients.local_addr().map_err(|error| StreamingError::io("tell the port", error))?;
        let (socket, sessions) = SessionSocket::bind(&config.run_root)?;
        let (end, stdin) = DaemonEnd::pair().map_err(|error| StreamingError::io("make a socket", error))?;
        let program = Program::new(Path::new(PROGRAM), [OsStr::new(SERVER_NAME)], [], Path::new("/"));
        let started = async { pods.start_beside_shims(program?, stdin).await };
        started.await.map_err(|error| StreamingError::io("start it", error))?;
        let started = Self { end, url: url(settings.tls.is_some(), bound), socket };
        let mut stamp = None;
        if let Some(files) = &settings.tls {
            stamp = Some(started.hand_tls(files).await?);
        }
        let listen = started.end.send(&ToServer::Listen, &[sessions.as_fd(), clients.as_fd()]).await;
        listen.map_err(|error| StreamingError::io("hand it its sockets", error))?;
        // Its alone from here on: with the last handle a socket refuses whoever still comes.
        drop((sessions, clients));
        match timeout(STARTED, started.end.recv()).await {
            Ok(Ok(Some((ToDaemon::Listening, _)))) => Ok((started, stamp)),
            Ok(Ok(Some((ToDaemon::Failed { text }, _)))) => Err(StreamingError::Failed(text)),
            Ok(Ok(Some((said, _)))) => Err(StreamingError::Confused(said)),
            Ok(Ok(None)) => Err(StreamingError::Ended),
            Ok(Err(error)) => Err(StreamingError::io("hear it", error)),
            Err(_) => Err(StreamingError::Silent(STARTED)),
        }
    }

    /// Hands it the certificate and the key that the files have now; answers what these look like.
    pub(super) async fn hand_tls(&self, files: &TlsFiles) -> Result<TlsStamp, StreamingError> {
        let mut reading = pin!(tls::read(files));
        let read = match timeout(SLOW, &mut reading).await {
            Ok(read) => read,
            Err(_) => {
                let (certificate, key) = (files.certificate.display(), files.key.display());
                tracing::warn!(%certificate, %key, "the streaming server waits for its certificate to be read");
                reading.await
            }
        };
        let (stamp, [chain, key]) = read.map_err(|(what, source)| StreamingError::Io { what, source })?;
        let handed = self.end.send(&ToServer::Tls, &[chain.as_fd(), key.as_fd()]).await;
        handed.map_err(|error| StreamingError::io("hand it the certificate", error))?;
        Ok(stamp)
    }
}

/// Where clients find it that are on this node. A server for all addresses is found at the node's own.
fn url(tls: bool, address: SocketAddr) -> String {
    let scheme = if tls { "https" } else { "http" };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

impl SessionSocket {
    fn bind(run_root: &Path) -> Result<(Self, OwnedFd), StreamingError> {
        let name = SessionToken::random().map_err(|error| StreamingError::io("make a name", error))?;
        let path = run_root.join(FOLDER).join(&name.as_str()[..8]);
        let fail = |error| StreamingError::io(format!("listen on {}", path.display()), error);
        let listening = PacketListener::bind(&path).map_err(fail)?;
        Ok((Self(path), listening))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SessionSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Removes the sockets of servers of earlier daemons: those end with their last session, and take no more.
pub(super) fn sweep(run_root: &Path) {
    let entries = std::fs::read_dir(run_root.join(FOLDER)).into_iter().flatten().flatten();
    for entry in entries {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "what an earlier streaming server left stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_an_address_that_they_can_reach() {
        let url_of = |address: &str| url(false, address.parse().unwrap());
        assert_eq!(url_of("127.0.0.1:4000"), "http://127.0.0.1:4000");
        assert_eq!(url_of("0.0.0.0:4000"), "http://127.0.0.1:4000");
        assert_eq!(url_of("[::]:4000"), "http://[::1]:4000");
        assert_eq!(url_of("10.1.2.3:4000"), "http://10.1.2.3:4000");
        assert!(url(true, "127.0.0.1:1".parse().unwrap()).starts_with("https://"));
    }
}
