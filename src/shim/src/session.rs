//! Sessions of the streaming server: a client's exec, attach or port-forward. The master says that one is to be opened,
//! and from then on it is between the shim and the server alone.

mod attach;
mod dial;
mod exec;
pub(crate) mod forward;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use peapod_shim_protocol::extension;
use peapod_streaming_protocol::{CommandStreams, SessionToken, ShimEnd, ToSession, ToShim};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::attach::AttachSessionRequest;
pub(crate) use self::exec::ExecSessionRequest;
use crate::bounds::{DIALS, SESSIONS};
use crate::error::Error;

/// A pod's sessions.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Arc<Semaphore>,
    /// Connections that are being made for port-forwards.
    dials: Arc<Semaphore>,
}

/// Where a session is to be opened.
#[derive(Debug)]
pub(crate) struct SessionPlace {
    socket: String,
    token: SessionToken,
}

/// An open session. Its end of the connection is the session's end for the server.
#[derive(Debug)]
struct OpenSession {
    connection: ShimEnd,
    counts: OwnedSemaphorePermit,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(SESSIONS)), dials: Arc::new(Semaphore::new(DIALS)) }
    }

    /// Connects and says which session this is: from here on all else is told there.
    async fn open(&self, address: &SessionPlace) -> Result<OpenSession, Error> {
        let full = || Error::Full { what: "sessions of a pod", limit: SESSIONS };
        let counts = self.open.clone().try_acquire_owned().map_err(|_| full())?;
        let path = Path::new(&address.socket);
        let fail = |source| Error::Io { action: "open a session at", path: path.to_owned(), source };
        let connection = ShimEnd::connect(path).map_err(fail)?;
        connection.send(&ToSession::Hello { token: address.token }, &[]).await.map_err(fail)?;
        Ok(OpenSession { connection, counts })
    }
}

impl SessionPlace {
    pub(crate) fn parse(session: extension::Session) -> Result<Self, Error> {
        let missing = || Error::Invalid { field: "session.token", why: "is none".to_owned() };
        let token = SessionToken::parse(session.token.as_bytes()).ok_or_else(missing)?;
        Ok(Self { socket: session.socket, token })
    }
}

/// The streams that a session is to have.
pub(crate) fn streams(streams: &extension::Streams) -> Result<CommandStreams, Error> {
    let &extension::Streams { tty, stdin, stdout, stderr, .. } = streams;
    let invalid = |why: &str| Err(Error::Invalid { field: "streams", why: why.to_owned() });
    match () {
        () if tty && stderr => invalid("a terminal has no stderr"),
        () if !stdin && !stdout && !stderr => invalid("are none"),
        () => Ok(CommandStreams { tty, stdin, stdout, stderr }),
    }
}

impl OpenSession {
    /// Waits for the end of the session; tells columns and lines of the client's terminal when they change.
    async fn until_gone(&self, mut resized: impl FnMut((u16, u16))) {
        // What makes no sense, too, is the end.
        while let Ok(Some((said, _))) = self.connection.recv().await {
            if let ToShim::Resize { width, height } = said {
                resized((width, height));
            }
        }
    }

    /// False: there is nobody any more.
    async fn tell(&self, what: &ToSession, descriptors: &[BorrowedFd<'_>]) -> bool {
        self.connection.send(what, descriptors).await.is_ok()
    }

    /// Ends it for the server; it counts as one of the pod's until what this answers is dropped.
    fn close(self) -> OwnedSemaphorePermit {
        self.counts
    }

    /// Says how it ends, as [`OpenSession::close`] does. Nobody may be there any more to hear it.
    async fn end(self, last: ToSession) -> OwnedSemaphorePermit {
        let _ = self.connection.send(&last, &[]).await;
        self.counts
    }
}
