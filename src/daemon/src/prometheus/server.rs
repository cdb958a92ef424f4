//! The endpoint: HTTP/1.1, `GET /metrics`. Whoever may connect may ask, and costs no more than a few connections for a
//! few seconds, and one reading of all metrics at a time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::family::FamilyReading;
use super::{MetricSources, text};
use crate::bounds::{
    METRICS_CONNECTION_TIME, METRICS_CONNECTIONS, METRICS_DISK_TIME, METRICS_HEAD_BYTES, METRICS_HEAD_TIME,
};
use crate::config::MetricsAddress;
use crate::runtime_dir::{self, PREDECESSOR};

/// File mode of the socket, which belongs to root.
const MODE: u32 = 0o660;
/// Time between two tries to listen, and after a connection that could not be accepted.
const LISTEN_AGAIN: Duration = Duration::from_secs(10);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Headers of a request. Prometheus sends five.
const HEADERS: usize = 64;

/// Serves at that address for as long as the daemon does. While that can't be had it is tried again: pods need no
/// metrics.
pub(crate) async fn run(address: Option<&MetricsAddress>, sources: Arc<MetricSources>) -> Infallible {
    let Some(address) = address else { return pending().await };
    let endpoint =
        Arc::new(Endpoint { sources, reads: Arc::new(Semaphore::new(1)), disks: Arc::new(Semaphore::new(1)) });
    let mut told = String::new();
    let listener = loop {
        let listening = match address {
            MetricsAddress::Tcp(address) => TcpListener::bind(address).await.map(MetricsListener::Tcp),
            MetricsAddress::Socket(path) => bind(path).await,
        };
        match listening {
            Ok(listener) => break listener,
            Err(error) => {
                let error = error.to_string();
                if error != told {
                    tracing::error!(%address, error, again_each = ?LISTEN_AGAIN, "metrics can't be served there");
                    told = error;
                }
            }
        }
        sleep(LISTEN_AGAIN).await;
    };
    tracing::info!(%address, "metrics are served");
    accept(listener, &endpoint).await
}

async fn bind(path: &Path) -> io::Result<MetricsListener> {
    let path = path.to_owned();
    let bound = tokio::task::spawn_blocking(move || {
        only_a_socket(&path)?;
        let socket = runtime_dir::bind(&path, MODE, PREDECESSOR).map_err(io::Error::other)?;
        let listener = socket.publish().map_err(io::Error::other)?;
        Ok::<_, io::Error>((listener, SocketFile::of(path)?))
    });
    let (listener, file) = bound.await.map_err(io::Error::other)??;
    Ok(MetricsListener::Unix { listener: UnixListener::from_std(listener)?, _file: file })
}

/// The name of a socket, which goes with it: nobody else would remove it from a place that only a configuration named.
struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    own: (u64, u64),
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let found = fs::symlink_metadata(&path)?;
        Ok(Self { path, own: (found.dev(), found.ino()) })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own there.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.own) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whatever else is at the address that was configured is not the daemon's to replace.
fn only_a_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::other("something is there that is no socket: choose another path for metrics.address"))
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

enum MetricsListener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

impl MetricsListener {
    /// Has the next client served.
    async fn attend_next(&self, tasks: &mut JoinSet<()>, endpoint: &Arc<Endpoint>) -> io::Result<OpenConnection> {
        let (endpoint, asked) = (Arc::clone(endpoint), Arc::new(AtomicBool::new(false)));
        let its = Arc::clone(&asked);
        let task = match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                tasks.spawn(attend(stream, endpoint, its))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                tasks.spawn(attend(stream, endpoint, its))
            }
        };
        Ok(OpenConnection { task, asked })
    }
}

struct OpenConnection {
    task: AbortHandle,
    /// Whether its client has said what it wants.
    asked: Arc<AtomicBool>,
}

/// Takes connections. One too many ends the oldest that has asked for nothing, or if all have, the oldest: an honest
/// one lasts milliseconds.
async fn accept(listener: MetricsListener, endpoint: &Arc<Endpoint>) -> Infallible {
    let (mut tasks, mut open) = (JoinSet::new(), VecDeque::<OpenConnection>::new());
    loop {
        let attended = listener.attend_next(&mut tasks, endpoint).await;
        while tasks.try_join_next().is_some() {}
        open.retain(|connection| !connection.task.is_finished());
        match attended {
            Ok(connection) => open.push_back(connection),
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics can't be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
        if open.len() > METRICS_CONNECTIONS {
            // Not the one that has just come: it had no time to ask.
            let mut earlier = open.iter().take(METRICS_CONNECTIONS);
            let silent = earlier.position(|connection| !connection.asked.load(Ordering::Relaxed));
            if let Some(oldest) = open.remove(silent.unwrap_or_default()) {
                oldest.task.abort();
            }
        }
    }
}

/// Serves one request, which is all that a connection has time for.
async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    endpoint: Arc<Endpoint>,
    asked: Arc<AtomicBool>,
) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let (endpoint, method, path) =
            (Arc::clone(&endpoint), request.method().clone(), request.uri().path().to_owned());
        async move { Ok::<_, Infallible>(endpoint.answer(&method, &path).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(METRICS_HEAD_TIME)
        .max_buf_size(METRICS_HEAD_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // With an error or without, in time or not: there is nobody but the client to tell.
    let _ = timeout(METRICS_CONNECTION_TIME, connection).await;
}

struct Endpoint {
    sources: Arc<MetricSources>,
    /// One reading at a time, also of those that nobody waits for any more.
    reads: Arc<Semaphore>,
    /// The same of disks, which may not answer.
    disks: Arc<Semaphore>,
}

impl Endpoint {
    async fn answer(self: Arc<Self>, method: &Method, path: &str) -> Response<Full<Bytes>> {
        match (method, path) {
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics().await,
            (_, "/metrics") => {
                let mut refusal = status(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served\n");
                refusal.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
                refusal
            }
            _ => status(StatusCode::NOT_FOUND, "only /metrics is served\n"),
        }
    }

    /// What disks tell, or nothing as long as one does not answer.
    async fn disks(&self) -> Vec<FamilyReading> {
        let Ok(turn) = Arc::clone(&self.disks).try_acquire_owned() else { return Vec::new() };
        let sources = Arc::clone(&self.sources);
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            sources.read_disks()
        });
        timeout(METRICS_DISK_TIME, read).await.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn metrics(self: Arc<Self>) -> Response<Full<Bytes>> {
        let read = async {
            let turn = Arc::clone(&self.reads).acquire_owned().await.ok()?;
            let disks = self.disks().await;
            let sources = Arc::clone(&self.sources);
            let text = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let mut all = sources.read();
                all.extend(disks);
                text::encode(all)
            });
            text.await.ok()?.ok()
        };
        match read.await {
            Some(text) => {
                let mut answer = Response::new(Full::new(Bytes::from(text)));
                let kind = hyper::header::HeaderValue::from_static(text::CONTENT_TYPE);
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            None => status(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be read\n"),
        }
    }
}

fn status(code: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
    *answer.status_mut() = code;
    answer
}
