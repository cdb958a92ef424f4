//! Who waits for whom: tokens for clients, clients for sessions. What of it the daemon is to know is told it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use peapod_streaming_protocol::{Registration, SessionEnd, SessionToken, ToDaemon};
use tokio::sync::{mpsc, oneshot};

use super::tokens::TokenStore;

/// How a session comes to its client.
pub(super) type Opening = Result<SessionEnd, NoSession>;

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoSession {
    #[error("{0}")]
    Refused(String),
    #[error("peapod was stopped before the session was there")]
    DaemonGone,
    #[error("the session did not come to be within {} s", crate::bounds::SESSION_WAIT.as_secs())]
    TooLate,
}

/// What all connections share. It is used by one thread, and never across a wait.
#[derive(Debug)]
pub(super) struct SessionRegistry {
    tokens: RefCell<TokenStore>,
    waiting: RefCell<BTreeMap<SessionToken, oneshot::Sender<Opening>>>,
    /// With room for more than there are tokens and sessions.
    daemon: mpsc::Sender<ToDaemon>,
}

impl SessionRegistry {
    pub(super) fn new(daemon: mpsc::Sender<ToDaemon>) -> Rc<Self> {
        Rc::new(Self { tokens: RefCell::default(), waiting: RefCell::default(), daemon })
    }

    /// False: there is no daemon. One that does not read is as good as gone.
    fn tell(&self, message: ToDaemon) -> bool {
        self.daemon.try_send(message).is_ok()
    }

    /// One that there is no room for is over at once.
    pub(super) fn register(&self, registration: Registration) {
        let token = registration.token;
        if self.tokens.borrow_mut().register(registration, Instant::now()).is_err() {
            self.tell(ToDaemon::Expired { token });
        }
    }

    pub(super) fn next_end(&self) -> Option<Instant> {
        self.tokens.borrow().next_end()
    }

    pub(super) fn expire(&self) {
        let now = Instant::now();
        while let Some(token) = self.tokens.borrow_mut().expire(now) {
            self.tell(ToDaemon::Expired { token });
        }
    }

    /// What a client would get, that comes with this token now.
    pub(super) fn look_up(&self, token: &SessionToken) -> Option<Registration> {
        self.tokens.borrow().get(token, Instant::now()).cloned()
    }

    pub(super) fn claim(self: &Rc<Self>, token: &SessionToken) -> Option<TokenClaim> {
        let registration = self.tokens.borrow_mut().claim(token, Instant::now())?;
        Some(TokenClaim {
            registration,
            promise: Promise { token: *token, registry: self.clone(), stage: ClaimStage::Claimed },
        })
    }

    /// A session is there, and goes to the client that waits for it; or is let go.
    pub(super) fn open(&self, token: &SessionToken, opening: Opening) {
        if let Some(client) = self.waiting.borrow_mut().remove(token) {
            // One that has just left.
            let _ = client.send(opening);
        }
    }

    /// Nobody is promised anything any more.
    pub(super) fn forget_tokens(&self) {
        self.tokens.borrow_mut().clear();
    }

    /// Nobody comes any more for clients that wait.
    pub(super) fn refuse_all(&self) {
        for client in std::mem::take(&mut *self.waiting.borrow_mut()).into_values() {
            let _ = client.send(Err(NoSession::DaemonGone));
        }
    }

    /// Whether a client waits for its session.
    pub(super) fn is_waited(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }
}

/// A client has shown its token; nobody else can.
#[derive(Debug)]
pub(super) struct TokenClaim {
    pub(super) registration: Registration,
    promise: Promise,
}

/// A client that has all it needs but the session.
#[derive(Debug)]
pub(super) struct AwaitedSession {
    opening: oneshot::Receiver<Opening>,
    promise: Promise,
}

/// What the daemon hears when nothing comes of it.
#[derive(Debug)]
struct Promise {
    token: SessionToken,
    registry: Rc<SessionRegistry>,
    stage: ClaimStage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClaimStage {
    /// The daemon knows of no client.
    Claimed,
    /// It opens the session.
    Announced,
    /// It has to do with it no more.
    Settled,
}

impl TokenClaim {
    /// Asks the daemon for the session.
    pub(super) fn announce(self) -> AwaitedSession {
        let Self { mut promise, .. } = self;
        let (sender, opening) = oneshot::channel();
        // Of what nobody hears nothing comes: the sender is dropped, and who waits is told so.
        if promise.registry.tell(ToDaemon::Claimed { token: promise.token }) {
            promise.registry.waiting.borrow_mut().insert(promise.token, sender);
        }
        promise.stage = ClaimStage::Announced;
        AwaitedSession { opening, promise }
    }
}

impl AwaitedSession {
    /// Waits for it. A call that is dropped has lost nothing.
    pub(super) async fn opening(&mut self) -> Opening {
        let opening = (&mut self.opening).await;
        self.promise.stage = ClaimStage::Settled;
        // The sender is dropped when the daemon is gone.
        opening.unwrap_or(Err(NoSession::DaemonGone))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let token = self.token;
        match self.stage {
            ClaimStage::Claimed => {
                self.registry.tell(ToDaemon::Expired { token });
            }
            ClaimStage::Announced => {
                self.registry.waiting.borrow_mut().remove(&token);
                self.registry.tell(ToDaemon::Gone { token });
            }
            ClaimStage::Settled => {}
        }
    }
}
