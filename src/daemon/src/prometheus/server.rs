//! The endpoint: HTTP/1.1, `GET /metrics`. Whoever may connect may ask, and costs no more than a few connections for a
//! few seconds, and one reading of all metrics at a time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
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

use super::{MetricSources, text};
use crate::bounds::{METRICS_CONNECTION_TIME, METRICS_CONNECTIONS, METRICS_HEAD_BYTES, METRICS_HEAD_TIME};
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
    let endpoint = Arc::new(Endpoint { sources, reads: Arc::new(Semaphore::new(1)) });
    loop {
        let listening = match address {
            MetricsAddress::Tcp(address) => TcpListener::bind(address).await.map(MetricsListener::Tcp),
            MetricsAddress::Socket(path) => bind(path).await.map(MetricsListener::Unix),
        };
        match listening {
            Ok(listener) => {
                tracing::info!(%address, "metrics are served");
                accept(listener, &endpoint).await;
            }
            Err(error) => {
                tracing::error!(%address, %error, again_in = ?LISTEN_AGAIN, "metrics can't be served there");
                sleep(LISTEN_AGAIN).await;
            }
        }
    }
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    let path = path.to_owned();
    let bound = tokio::task::spawn_blocking(move || {
        only_a_socket(&path)?;
        let socket = runtime_dir::bind(&path, MODE, PREDECESSOR).map_err(io::Error::other)?;
        socket.publish().map_err(io::Error::other)
    });
    UnixListener::from_std(bound.await.map_err(io::Error::other)??)
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
    Unix(UnixListener),
}

impl MetricsListener {
    /// Has the next client served.
    async fn attend_next(&self, tasks: &mut JoinSet<()>, endpoint: &Arc<Endpoint>) -> io::Result<AbortHandle> {
        let endpoint = Arc::clone(endpoint);
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| tasks.spawn(attend(stream, endpoint))),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| tasks.spawn(attend(stream, endpoint))),
        }
    }
}

/// Takes connections. One too many ends the oldest: an honest one lasts milliseconds.
async fn accept(listener: MetricsListener, endpoint: &Arc<Endpoint>) -> Infallible {
    let (mut tasks, mut open) = (JoinSet::new(), VecDeque::<AbortHandle>::new());
    loop {
        let attended = listener.attend_next(&mut tasks, endpoint).await;
        while tasks.try_join_next().is_some() {}
        open.retain(|task| !task.is_finished());
        match attended {
            Ok(task) => open.push_back(task),
            Err(error) => {
                tracing::debug!(%error, "a connection for metrics can't be accepted");
                sleep(ACCEPT_AGAIN).await;
            }
        }
        if open.len() > METRICS_CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
    }
}

/// Serves one request, which is all that a connection has time for.
async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, endpoint: Arc<Endpoint>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
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
    /// One reading at a time, also of those that nobody waits for any more, as a disk does not answer.
    reads: Arc<Semaphore>,
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

    async fn metrics(self: Arc<Self>) -> Response<Full<Bytes>> {
        let read = async {
            let turn = Arc::clone(&self.reads).acquire_owned().await.ok()?;
            let sources = Arc::clone(&self.sources);
            let text = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                text::encode(sources.read())
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
