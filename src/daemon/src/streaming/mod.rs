//! The streaming server, a process of its own: started, watched over, started again when it dies; and what clients were
//! promised that have not come yet. It outlives the daemon for as long as it has sessions, which need the daemon no
//! more once they are there.

mod measures;
mod pending;
mod process;
mod session;
mod tls;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use peapod_measure::GaugeHold;
use peapod_pod::{Pods, SessionAddress};
use peapod_streaming_protocol::{Registration, SessionToken, ToDaemon, ToServer};
use peapod_sys::fail_point;
use peapod_sys::sync::lock;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use self::measures::SessionMeasures;
use self::pending::{Full, Pending};
use self::process::{StartedServer, StreamingError};
pub(crate) use self::session::PendingSession;
use self::tls::TlsStamp;
use crate::bounds::{PENDING_SESSION, PENDING_SESSIONS, STREAMING_PAUSE, STREAMING_PAUSE_MAX};
use crate::config::{Config, TlsFiles};

/// How long a call waits for a server that is being started.
const STARTING: Duration = Duration::from_secs(3);
/// How long the server may take to be told something.
const TELL: Duration = Duration::from_secs(5);
/// How often the files of its certificate are looked at.
const TLS_LOOK: Duration = Duration::from_secs(10);

/// The streaming server as calls see it.
#[derive(Debug)]
pub(crate) struct Streaming {
    live: watch::Sender<Option<Arc<LiveServer>>>,
    measures: SessionMeasures,
}

/// Why no session can be promised.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegisterError {
    /// None runs at the moment.
    #[error("the streaming server is not running (the daemon's log says why): try again in a moment")]
    NoServer,
    /// Clients do not come for what they were promised.
    #[error(
        "{PENDING_SESSIONS} sessions, or very long commands, wait for their clients already: try again in a minute"
    )]
    Full,
    /// The kernel has no random bytes.
    #[error("can't make a token: {0}")]
    Token(#[from] std::io::Error),
}

impl From<Full> for RegisterError {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

/// A server that accepts clients.
#[derive(Debug)]
struct LiveServer {
    started: StartedServer,
    pending: Mutex<Pending<PromisedSession>>,
    measures: SessionMeasures,
}

/// A session whose client has not come.
#[derive(Debug)]
struct PromisedSession {
    session: PendingSession,
    _pending: GaugeHold,
}

impl Streaming {
    /// None runs yet.
    pub(crate) fn new() -> Self {
        Self { live: watch::Sender::new(None), measures: SessionMeasures::default() }
    }

    /// What is counted of it.
    pub(crate) fn measures(&self) -> &SessionMeasures {
        &self.measures
    }

    /// Whether there is one.
    pub(crate) fn is_up(&self) -> bool {
        self.live.borrow().is_some()
    }

    /// Promises a session to whoever comes with the URL that this answers, once and within a minute.
    pub(crate) async fn register(&self, config: &Config, session: PendingSession) -> Result<String, RegisterError> {
        let mut live = self.live.subscribe();
        let started = timeout(STARTING, live.wait_for(Option::is_some)).await;
        let server = started.ok().and_then(Result::ok).and_then(|live| live.clone());
        let server = server.ok_or(RegisterError::NoServer)?;
        let token = SessionToken::random()?;
        let url = format!("{}/{}/{}", server.started.url, session.path(), token.as_str());
        let registration = Registration {
            token,
            kind: session.kind(),
            idle: config.streaming.idle_timeout,
            creation: config.streaming.creation_timeout,
            expiry: PENDING_SESSION,
        };
        let (bytes, kind) = (session.bytes(), session.path());
        let promised = PromisedSession { session, _pending: self.measures.pending.hold() };
        lock(&server.pending).add(token, promised, bytes, Instant::now())?;
        if !server.tell(&ToServer::Register(registration)).await {
            lock(&server.pending).take(token);
            return Err(RegisterError::NoServer);
        }
        self.measures.promised.increment(kind);
        Ok(url)
    }

    /// Has a server run for as long as the daemon does.
    pub(crate) async fn run(&self, config: &Config, pods: &Pods) -> Infallible {
        process::sweep(&config.run_root);
        let mut pause = STREAMING_PAUSE;
        loop {
            let began = Instant::now();
            let ended = match StartedServer::start(config, pods).await {
                Ok((started, stamp)) => self.watch_over(started, stamp, config, pods).await,
                Err(error) => error,
            };
            if began.elapsed() > STREAMING_PAUSE_MAX {
                pause = STREAMING_PAUSE;
            }
            tracing::error!(
                error = peapod_text::chain(&ended),
                again_in = ?pause,
                "there is no streaming server for exec, attach and port-forward"
            );
            sleep(pause).await;
            pause = (2 * pause).min(STREAMING_PAUSE_MAX);
        }
    }

    /// Until it ends; answers why it did.
    async fn watch_over(
        &self,
        started: StartedServer,
        stamp: Option<TlsStamp>,
        config: &Config,
        pods: &Pods,
    ) -> StreamingError {
        tracing::info!(url = started.url, "streaming server started");
        let (pending, measures) = (Mutex::default(), self.measures.clone());
        measures.server_starts.increment();
        let server = Arc::new(LiveServer { started, pending, measures });
        self.live.send_replace(Some(Arc::clone(&server)));
        let mut claims = JoinSet::new();
        // Beside all else: files may take for ever to be read.
        let mut renewing = pin!(server.keep_tls(stamp, config));
        let ended = loop {
            tokio::select! {
                // One that claims more than there can be is heard more slowly.
                said = server.started.end.recv(), if claims.len() < PENDING_SESSIONS => match said {
                    Ok(Some((ToDaemon::Failed { text }, _))) => break StreamingError::Failed(text),
                    Ok(Some((said, _))) => server.hear(&said, pods, &mut claims),
                    Ok(None) => break StreamingError::Ended,
                    Err(source) => break StreamingError::io("hear the streaming server", source),
                },
                Some(_) = claims.join_next() => {}
                never = &mut renewing => match never {},
            }
        };
        self.live.send_replace(None);
        ended
    }
}

impl LiveServer {
    fn hear(self: &Arc<Self>, said: &ToDaemon, pods: &Pods, claims: &mut JoinSet<()>) {
        match *said {
            ToDaemon::Claimed { token } => {
                let session = lock(&self.pending).take(token).map(|promised| promised.session);
                claims.spawn(Arc::clone(self).open(pods.clone(), token, session));
            }
            ToDaemon::Expired { token } => drop(lock(&self.pending).take(token)),
            // The session's other end hears it too.
            ToDaemon::Gone { .. } => {}
            ToDaemon::TlsRefused { ref text } => {
                tracing::warn!(reason = text, "the streaming server keeps its certificate: the new one can't be used");
            }
            ToDaemon::Listening | ToDaemon::Failed { .. } => tracing::debug!(?said, "said by the streaming server"),
        }
    }

    /// A client is there: the pod's shim is to open the session, or the client hears why there is none.
    async fn open(self: Arc<Self>, pods: Pods, token: SessionToken, session: Option<PendingSession>) {
        fail_point("session-claimed");
        let address = SessionAddress { socket: self.started.socket.path().to_owned(), token };
        let kind = session.as_ref().map(PendingSession::path);
        let opened = match session {
            Some(PendingSession::Exec { container, session }) => pods.open_exec(&container, &session, &address).await,
            Some(PendingSession::Attach { container, streams }) => {
                pods.open_attach(&container, streams, &address).await
            }
            Some(PendingSession::PortForward { pod, .. }) => pods.open_port_forward(&pod, &address).await,
            None => {
                self.tell(&refused(token, "the session was never promised, or too long ago".to_owned())).await;
                return;
            }
        };
        fail_point("session-opened");
        let counters = if opened.is_ok() { &self.measures.opened } else { &self.measures.failures };
        counters.increment(kind.unwrap_or_default());
        if let Err(error) = opened {
            tracing::info!(%error, "a session could not be opened");
            self.tell(&refused(token, peapod_text::one_line(&error.to_string()).into_owned())).await;
        }
    }

    /// False: it does not hear.
    async fn tell(&self, what: &ToServer) -> bool {
        matches!(timeout(TELL, self.started.end.send(what, &[])).await, Ok(Ok(())))
    }

    /// Hands the certificate over again whenever its files have changed.
    async fn keep_tls(&self, mut stamp: Option<TlsStamp>, config: &Config) -> Infallible {
        let Some(files) = &config.streaming.tls else { return pending().await };
        let mut looks = interval(TLS_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.renew_tls(&mut stamp, files).await;
        }
    }

    /// One that can't be read changes nothing.
    async fn renew_tls(&self, stamp: &mut Option<TlsStamp>, files: &TlsFiles) {
        let now = TlsStamp::look(files).await;
        if now == *stamp || now.is_none() {
            return;
        }
        match self.started.hand_tls(files).await {
            Ok(handed) => {
                tracing::info!(certificate = %files.certificate.display(), "the streaming server has another certificate");
                *stamp = Some(handed);
            }
            Err(error) => tracing::warn!(
                error = peapod_text::chain(&error),
                "the streaming server keeps its certificate: the new one can't be used"
            ),
        }
    }
}

fn refused(token: SessionToken, text: String) -> ToServer {
    ToServer::Refused { token, text }
}
