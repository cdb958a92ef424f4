//! Which network an attachment belongs to: a new one to what is found now, one that is there to what made it.

use crate::attachment::{AttachRequest, Attachment};
use crate::builtin::Builtin;
use crate::cni::{Choice, Cni, CniError};
use crate::error::{AttachError, DetachError, PortOwner};
use crate::listeners;
use crate::ports::PortMapping;
use crate::request;
use crate::stages;
use crate::status::NetworkStatus;
use crate::sync::{blocking, lock};
use peapod_sys::KeyedLock;
use peapod_trace::Span;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often to look which configuration there is; each attach looks for itself.
const LOOK: Duration = Duration::from_secs(2);
/// How often to look whether bridge and table are still there.
const WATCH: Duration = Duration::from_secs(5);
/// How soon what could not be taken away is tried again, at first and at last.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What all handles share.
pub(crate) struct Dispatcher {
    pub(crate) builtin: Arc<Builtin>,
    pub(crate) cni: Arc<Cni>,
    /// Attach and detach of one id follow each other.
    pub(crate) order: KeyedLock<String>,
    /// Whose detach is being tried again.
    retrying: Mutex<HashSet<String>>,
    pub(crate) tasks: TaskTracker,
    /// The first look is over.
    pub(crate) looked: CancellationToken,
    /// Lets no attach begin, and ends what only goes on.
    pub(crate) closing: CancellationToken,
}

/// Who makes an attachment, or has made it.
enum Maker<'a> {
    Builtin(&'a Arc<Builtin>),
    Cni(&'a Cni),
}

impl Maker<'_> {
    async fn detach(&self, id: &str, span: &Span) -> Result<(), DetachError> {
        match self {
            Self::Builtin(builtin) => builtin.detach(id).await,
            Self::Cni(cni) => cni.detach(id, span).await,
        }
    }

    fn is_leaving(&self, id: &str) -> bool {
        match self {
            Self::Builtin(builtin) => builtin.is_leaving(id),
            Self::Cni(cni) => cni.is_leaving(id),
        }
    }

    fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        match self {
            Self::Builtin(builtin) => builtin.attachment(id),
            Self::Cni(cni) => cni.attachment(id),
        }
    }
}

impl Dispatcher {
    pub(crate) fn new(builtin: Arc<Builtin>, cni: Arc<Cni>, closing: CancellationToken) -> Self {
        let (order, retrying) = (KeyedLock::default(), Mutex::default());
        let looked = CancellationToken::new();
        Self { builtin, cni, order, retrying, tasks: TaskTracker::new(), looked, closing }
    }

    /// Who has made what there is of this id, if there is anything.
    fn maker(&self, id: &str) -> Maker<'_> {
        if self.cni.has(id) { Maker::Cni(&self.cni) } else { Maker::Builtin(&self.builtin) }
    }

    pub(crate) fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        self.maker(id).attachment(id)
    }

    /// Connects. The caller holds the lock of this id.
    pub(crate) async fn attach(self: &Arc<Self>, request: AttachRequest) -> Result<Arc<Attachment>, AttachError> {
        if self.closing.is_cancelled() {
            return Err(AttachError::Closed);
        }
        let (id, span) = (request.id.clone(), request.span.clone());
        span.enter(&stages::CHOICE);
        let request = request::check(request)?;
        if self.cni.has(&id) {
            if let Some(known) = self.cni.known(&request)? {
                return Ok(known);
            }
            self.cni.detach(&id, &span).await?;
            span.enter(&stages::CHOICE);
        }
        let (choice, _) = self.cni.look().await.ok_or(AttachError::Closed)?;
        let ports = request::ports_of(&request)?;
        free(self.cni.meets(&ports))?;
        if self.builtin.has(&id) || matches!(choice, Choice::None) {
            let attached = self.builtin.attach(request).await;
            if attached.is_err() && self.builtin.is_leaving(&id) {
                self.detach_later(id, RETRY);
            }
            return attached;
        }
        free(self.builtin.meets(&ports))?;
        listeners::check(&request).await?;
        let error = match self.cni.attach(&request, choice).await {
            Ok(attachment) => return Ok(attachment),
            Err(error) => error,
        };
        span.fail();
        self.cni.leave(&id);
        // Who hung once may hang again: nobody waits for that.
        let hangs = matches!(&error, AttachError::Cni(CniError::Slow { .. } | CniError::Closed));
        if hangs || self.cni.detach(&id, &span).await.is_err() {
            self.detach_later(id, Duration::ZERO);
        }
        Err(error)
    }

    /// Takes away. The caller holds the lock of this id.
    pub(crate) async fn detach(&self, id: &str, span: &Span) -> Result<(), DetachError> {
        self.maker(id).detach(id, span).await
    }

    /// Tries until it is gone, as nobody else might: first after this pause.
    pub(crate) fn detach_later(self: &Arc<Self>, id: String, mut pause: Duration) {
        if !lock(&self.retrying).insert(id.clone()) {
            return;
        }
        let inner = Arc::clone(self);
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = inner.closing.cancelled() => break,
                    () = tokio::time::sleep(pause) => pause = (pause * 2).clamp(RETRY, RETRY_MAX),
                }
                let _guard = inner.order.lock(&id).await;
                if !inner.maker(&id).is_leaving(&id) {
                    break;
                }
                match inner.detach(&id, &Span::default()).await {
                    Ok(()) => break,
                    Err(error) => tracing::warn!(network_id = %id, %error, "a network cannot be taken away yet"),
                }
            }
            lock(&inner.retrying).remove(&id);
        });
    }

    /// Whether the built-in network is used, or will be for the next pod.
    pub(crate) fn is_built_in_used(&self) -> bool {
        matches!(self.cni.directory.last(), Choice::None) || self.builtin.count() > 0
    }

    /// Makes what is missing of the built-in network, if that is used. The outcome is in the status.
    pub(crate) async fn repair(&self) {
        if self.is_built_in_used() {
            let builtin = Arc::clone(&self.builtin);
            // A closed runtime has no status to show either.
            let _ = blocking(move || builtin.repair()).await;
        }
    }

    /// Looks now and then whether bridge and table are there, for others take them away: a firewall that is loaded
    /// again flushes all rules. And a node whose network is not ready gets no pods that would make it so.
    ///
    /// Ends with the last handle, or when the network is closed.
    pub(crate) async fn watch(inner: Weak<Self>, closing: CancellationToken) {
        // Which network it is to be is not known before the first look.
        let Some(looked) = inner.upgrade().map(|inner| inner.looked.clone()) else { return };
        tokio::select! {
            () = closing.cancelled() => return,
            () = looked.cancelled() => {}
        }
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(WATCH) => {}
            }
            let Some(inner) = inner.upgrade() else { return };
            inner.repair().await;
        }
    }

    /// Looks at what plugins made before, then again and again at their configuration. Ends with the last handle, or
    /// when the network is closed.
    pub(crate) async fn watch_cni(inner: Weak<Self>) {
        let Some((closing, cni)) = inner.upgrade().map(|inner| (inner.closing.clone(), Arc::clone(&inner.cni))) else {
            return;
        };
        cni.look_after().await;
        let look = async {
            loop {
                tokio::time::sleep(LOOK).await;
                let Some(inner) = inner.upgrade() else { return };
                if inner.cni.look_after().await {
                    inner.repair().await;
                }
            }
        };
        // Plugins that hang with what they are asked about earlier pods keep nobody from seeing a new configuration.
        let both = async { tokio::join!(look, cni.check_all()) };
        tokio::select! {
            () = closing.cancelled() => {}
            _ = both => {}
        }
    }

    /// Which network new pods get, and how it is.
    pub(crate) fn status(&self) -> NetworkStatus {
        self.cni.status().unwrap_or_else(|| {
            let mut status = self.builtin.status();
            let dir = self.cni.directory.path.display();
            if !self.looked.is_cancelled() {
                let message = format!(
                    "which network there is has not been found out yet: the folder of CNI configurations {dir}, or the \
                     kernel, does not answer; is that folder's file system dead?"
                );
                return NetworkStatus { ready: false, reason: "NetworkNotLookedAt".to_owned(), message, ..status };
            }
            status.message = format!("{}; there is no CNI configuration in {dir}", status.message);
            status
        })
    }
}

/// An error if a port is another attachment's.
fn free(met: Option<(PortMapping, String)>) -> Result<(), AttachError> {
    met.map_or(Ok(()), |(port, id)| Err(AttachError::PortTaken { port, owner: PortOwner::Attachment(id) }))
}
