//! The connection to a CRI endpoint, and errors of calls in plain words.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use peapod_api::own::image_store_client::ImageStoreClient;
use peapod_api::v1::VersionRequest;
use peapod_api::v1::image_service_client::ImageServiceClient;
use peapod_api::v1::runtime_service_client::RuntimeServiceClient;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Response, Status};

use peapod_text::one_line;

/// For calls that only look something up.
pub(crate) const QUICK: Duration = Duration::from_secs(10);
/// For calls that change something; what a kubelet allows.
pub(crate) const CHANGE: Duration = Duration::from_secs(120);
/// For making a pod, whose network plugins may be slow; what a kubelet allows.
pub(crate) const RUN_POD: Duration = Duration::from_secs(240);
/// For a pull, which Ctrl-C ends sooner.
pub(crate) const PULL: Duration = Duration::from_secs(3600);

/// A CRI message is never longer.
const MAX_MESSAGE: usize = 16 << 20;

/// How long a socket may have nobody behind it: a daemon that was killed is there again after a second.
const RESTART: Duration = Duration::from_secs(2);
/// Time between two looks at it.
const KNOCK: Duration = Duration::from_millis(50);

/// Both services of one CRI endpoint, and peapod's own, which other runtimes lack.
///
/// It connects again by itself after the runtime was restarted. Clones share the connection.
#[derive(Clone)]
pub(crate) struct CriClient {
    pub(crate) runtime: RuntimeServiceClient<Channel>,
    pub(crate) image: ImageServiceClient<Channel>,
    pub(crate) store: ImageStoreClient<Channel>,
    pub(crate) runtime_name: String,
    /// Its socket.
    pub(crate) endpoint: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(
        "`{endpoint}` is no CRI endpoint: write unix:// and an absolute path, for example unix:///run/peapod/peapod.sock"
    )]
    Endpoint { endpoint: String },
    #[error(
        "no runtime at {}: there is no such socket. Start one with `peapod serve` as root, \
         or name another with --endpoint or PEAPOD_ENDPOINT", path.display()
    )]
    Missing { path: PathBuf },
    #[error(
        "no runtime at {}: the socket is there, but nobody listens; its runtime has ended. \
         Start it again (`systemctl start peapod`, or `peapod serve`), or name another with --endpoint or PEAPOD_ENDPOINT", path.display()
    )]
    NobodyListens { path: PathBuf },
    #[error("may not use {}: a CRI socket is its owner's alone. Run this as root, for example with sudo", path.display())]
    Forbidden { path: PathBuf },
    #[error("cannot connect to {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("whoever listens at {} ended the connection before it said who it is: it may be no CRI runtime, or have ended this moment", path.display())]
    Gone { path: PathBuf },
    #[error("{} does not speak CRI v1", path.display())]
    NotCri { path: PathBuf, source: CallError },
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{rpc} did not answer within {} s", deadline.as_secs())]
    Deadline { rpc: &'static str, deadline: Duration },
    #[error("the runtime went away during {rpc}; what runs goes on. Look at its log, then try again")]
    Gone { rpc: &'static str },
    #[error("{rpc}: {}", reason(status))]
    Refused { rpc: &'static str, status: Box<Status> },
}

impl CallError {
    /// The same with other words in place of some that the runtime used.
    pub(crate) fn reworded(self, words: &[(String, String)]) -> Self {
        let Self::Refused { rpc, status } = self else { return self };
        let message = words.iter().fold(status.message().to_owned(), |text, (from, to)| text.replace(from, to));
        Self::Refused { rpc, status: Box::new(Status::new(status.code(), message)) }
    }

    /// Nobody answers at the moment; the same call may work later.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Gone { .. } | Self::Deadline { .. })
    }

    /// The runtime has no such call.
    pub(crate) fn is_unimplemented(&self) -> bool {
        self.is(Code::Unimplemented)
    }

    /// What was named is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.is(Code::NotFound)
    }

    /// The runtime answered with this code.
    pub(crate) fn is(&self, code: Code) -> bool {
        matches!(self, Self::Refused { status, .. } if status.code() == code)
    }
}

/// The message alone where it speaks for itself, else with its code.
fn reason(status: &Status) -> String {
    match (status.code(), &*one_line(status.message())) {
        (code, "") => code.description().to_owned(),
        (Code::Unimplemented, message) => format!("this runtime can't do that ({message})"),
        (_, message) => message.to_owned(),
    }
}

/// Waits for an answer, but not longer than the deadline.
pub(crate) async fn call<T>(
    rpc: &'static str,
    deadline: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, answer).await {
        Err(_) => Err(CallError::Deadline { rpc, deadline }),
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) if lost(&status) => Err(CallError::Gone { rpc }),
        Ok(Err(status)) => Err(CallError::Refused { rpc, status: Box::new(status) }),
    }
}

/// A status that the transport made up, because there was nobody to answer.
fn lost(status: &Status) -> bool {
    let transport = std::error::Error::source(status).is_some();
    transport && matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Internal)
}

impl CriClient {
    /// Connects and asks who is there. Where the socket's owner has ended it waits for a moment: who looks after that
    /// is starting it again.
    pub(crate) async fn open(endpoint: &str) -> Result<Self, ConnectError> {
        let began = Instant::now();
        loop {
            match Self::try_open(endpoint).await {
                Err(ConnectError::NobodyListens { .. } | ConnectError::Gone { .. }) if began.elapsed() < RESTART => {
                    tokio::time::sleep(KNOCK).await;
                }
                done => return done,
            }
        }
    }

    /// The same without waiting, for who has something else to do when nobody is there.
    pub(crate) async fn try_open(endpoint: &str) -> Result<Self, ConnectError> {
        let path = socket_path(endpoint)?;
        // Runs and pods are found by it, whatever links lead to it.
        let endpoint = path.canonicalize().unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned();
        // Once by hand: the transport's own errors say nothing about sockets.
        drop(UnixStream::connect(&path).await.map_err(|error| explain(&path, error))?);
        let channel = channel(path.clone());
        let runtime = RuntimeServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let store = ImageStoreClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let image = ImageServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        let version = call("Version", QUICK, runtime.clone().version(VersionRequest { version: "v1".to_owned() }))
            .await
            .map_err(|source| match source {
                CallError::Gone { .. } => ConnectError::Gone { path },
                source => ConnectError::NotCri { path, source },
            })?;
        let runtime_name = format!("{} {}", version.runtime_name, version.runtime_version);
        let runtime_name = one_line(&runtime_name).into_owned();
        Ok(Self { runtime, image, store, runtime_name, endpoint })
    }
}

fn channel(path: PathBuf) -> Channel {
    // The address is never used: the connector knows the path.
    Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    }))
}

fn socket_path(endpoint: &str) -> Result<PathBuf, ConnectError> {
    let path = Path::new(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
    if path.is_absolute() && path.file_name().is_some() {
        Ok(path.to_owned())
    } else {
        Err(ConnectError::Endpoint { endpoint: endpoint.to_owned() })
    }
}

fn explain(path: &Path, error: io::Error) -> ConnectError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound => ConnectError::Missing { path },
        io::ErrorKind::ConnectionRefused => ConnectError::NobodyListens { path },
        io::ErrorKind::PermissionDenied => ConnectError::Forbidden { path },
        _ => ConnectError::Io { path, source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_others_become_names() {
        let status = Box::new(Status::unknown("host port 80 is taken by pod 0123abcd: stop that"));
        let error = CallError::Refused { rpc: "RunPodSandbox", status };
        let names = [("0123abcd".to_owned(), "default/web".to_owned())];
        let said = error.reworded(&names).to_string();
        assert_eq!(said, "RunPodSandbox: host port 80 is taken by pod default/web: stop that");
    }

    #[test]
    fn endpoints_are_paths_of_unix_sockets() {
        assert_eq!(socket_path("unix:///run/x.sock").unwrap(), Path::new("/run/x.sock"));
        assert_eq!(socket_path("/run/x.sock").unwrap(), Path::new("/run/x.sock"));
        for bad in ["tcp://localhost:1", "run/x.sock", "unix://x.sock", "", "/"] {
            assert!(socket_path(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_socket_whose_owner_comes_back_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, new) = (dir.path().join("s"), dir.path().join("new"));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let guests = std::cell::Cell::new(0);
        // Takes the place of the old one, as a daemon's does; whoever comes is told nothing.
        let comes_back = async {
            tokio::time::sleep(KNOCK * 2).await;
            let listener = tokio::net::UnixListener::bind(&new).unwrap();
            std::fs::rename(&new, &path).unwrap();
            loop {
                drop(listener.accept().await.unwrap());
                guests.set(guests.get() + 1);
            }
        };
        let opened = tokio::select! {
            opened = CriClient::open(path.to_str().unwrap()) => opened,
            never = comes_back => never,
        };
        assert!(matches!(opened.err(), Some(ConnectError::Gone { .. })));
        assert!(guests.get() > 2, "it asks again: {guests:?}");
    }

    #[tokio::test]
    async fn a_missing_or_abandoned_socket_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let endpoint = path.to_str().unwrap();
        let missing = CriClient::open(endpoint).await.err().unwrap().to_string();
        assert!(missing.contains("peapod serve") && missing.contains("--endpoint"), "{missing}");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let abandoned = CriClient::open(endpoint).await.err().unwrap().to_string();
        assert!(abandoned.contains("nobody listens"), "{abandoned}");
    }
}
