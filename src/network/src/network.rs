//! The crate's public handle.

use crate::attachment::{AttachRequest, Attachment};
use crate::bounds::FIRST_LOOK;
use crate::builtin::Builtin;
use crate::cni::Cni;
use crate::config::Config;
use crate::dispatch::{Dispatcher, RETRY};
use crate::error::{AttachError, DetachError, OpenError};
use crate::stages;
use crate::status::NetworkStatus;
use crate::sync::blocking;
use peapod_store::Database;
use peapod_trace::Span;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A handle to the network; clones share it.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Dispatcher>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("settings", self.inner.builtin.settings()).finish_non_exhaustive()
    }
}

impl Network {
    /// Opens the network: loads the attachments and takes away what was half made. Then it makes bridge and table, for
    /// which nobody has to wait: that takes the longer, the more links the node has ([`looked`](Self::looked)).
    ///
    /// If the node does not let it make them, the network opens all the same and its status says why; it is tried again
    /// every few seconds, by [`check`](Self::check) and by each attach. The same if others take them away later.
    ///
    /// # Errors
    /// Wrong settings, all mistakes at once; a database that can't be read. What is wrong with one attachment, such as
    /// a record that makes no sense or something half made that can't be taken away, is that attachment's alone: it is
    /// logged.
    pub async fn open(config: Config, db: Database) -> Result<Self, OpenError> {
        let (cni, give_up_after) = (config.cni.clone(), config.cni.give_up_after);
        let settings = config.settings().map_err(OpenError::Config)?;
        let (closing, netns_dir) = (CancellationToken::new(), settings.netns_dir.clone());
        let builtin = Builtin::open(settings, db.clone(), give_up_after, closing.clone()).await?;
        let cni = Arc::new(Cni::open(cni, netns_dir, db, closing.clone()).await?);
        let network = Self { inner: Arc::new(Dispatcher::new(Arc::clone(&builtin), Arc::clone(&cni), closing)) };
        for id in builtin.leaving() {
            if let Err(error) = network.detach(&id).await {
                tracing::warn!(network_id = %id, %error, "cannot undo a half-made network yet");
            }
        }
        // Plugins may be slow, and nobody has to wait for those pods.
        for id in cni.leaving() {
            network.inner.detach_later(id, Duration::ZERO);
        }
        let (first, looked) = (network.clone(), network.inner.looked.clone().drop_guard());
        network.inner.tasks.spawn(async move {
            let _looked = looked;
            first.check().await;
        });
        network.inner.tasks.spawn(Dispatcher::watch_cni(Arc::downgrade(&network.inner)));
        let watch = Dispatcher::watch(Arc::downgrade(&network.inner), network.inner.closing.clone());
        network.inner.tasks.spawn(watch);
        Ok(network)
    }

    /// Waits for the first look whether pods can be attached, right after the opening: before it nobody can say. Not
    /// for ever: the folder of CNI configurations may be on a file system that does not answer.
    pub async fn looked(&self) {
        // The status tells of a look that is not over.
        let _ = tokio::time::timeout(FIRST_LOOK, self.inner.looked.cancelled()).await;
    }

    /// Whether pods can be attached, as last seen. No I/O.
    pub fn status(&self) -> NetworkStatus {
        self.inner.status()
    }

    /// Looks now whether pods can be attached, makes bridge and table if they are missing, and says how that went.
    pub async fn check(&self) -> NetworkStatus {
        // A closed runtime has no status to show either.
        let _ = self.inner.cni.look().await;
        self.inner.repair().await;
        self.status()
    }

    /// The attachment of this id. No I/O.
    pub fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        self.inner.attachment(id)
    }

    /// The ids of all attachments, also of those that are being made or taken away. No I/O.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = self.inner.cni.ids();
        ids.extend(self.inner.builtin.ids());
        ids
    }

    /// Makes a network namespace, connects it, gives it an address and the ports; all of it works when this returns.
    /// The same request again gives the same attachment.
    ///
    /// Dropping the future does not stop the work; detach waits for it and takes the result away.
    ///
    /// # Errors
    /// See [`AttachError`]. Nothing is left then.
    pub async fn attach(&self, request: AttachRequest) -> Result<Arc<Attachment>, AttachError> {
        let network = self.clone();
        request.span.enter(&stages::TURN);
        let task = self.inner.tasks.spawn(async move {
            let _guard = network.inner.order.lock(&request.id).await;
            network.inner.attach(request).await
        });
        task.await.unwrap_or(Err(AttachError::Closed))
    }

    /// Takes the attachment of this id away: ports, pin, address. The links go when the last process has left the
    /// namespace. Fine if there is none. Dropping the future does not stop the work.
    ///
    /// # Errors
    /// See [`DetachError`]: everything that could be done was done, and it can be repeated. It is, every few seconds,
    /// until it succeeds or [`CniConfig::give_up_after`](crate::CniConfig::give_up_after) is over.
    pub async fn detach(&self, id: &str) -> Result<(), DetachError> {
        self.detach_in(id, &Span::default()).await
    }

    /// The same, and the stages are told to a span.
    ///
    /// # Errors
    /// See [`Network::detach`].
    pub async fn detach_in(&self, id: &str, span: &Span) -> Result<(), DetachError> {
        let network = self.clone();
        let (id, span) = (id.to_owned(), span.clone());
        span.enter(&stages::TURN);
        let task = self.inner.tasks.spawn(async move {
            let _guard = network.inner.order.lock(&id).await;
            span.enter(&stages::REMOVAL);
            let detached = network.inner.detach(&id, &span).await;
            if detached.is_err() {
                network.inner.detach_later(id, RETRY);
            }
            detached
        });
        task.await.unwrap_or(Err(DetachError::Closed))
    }

    /// Lets no new attach begin and waits for what is going on.
    pub async fn close(&self) {
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Closes the network and takes bridge and table away: for leaving a node, not for a restart.
    ///
    /// # Errors
    /// While anything is attached, and then nothing happens; or if the kernel refuses.
    pub async fn purge(&self) -> Result<(), DetachError> {
        let builtin = Arc::clone(&self.inner.builtin);
        let unused = || match builtin.count() {
            0 => Ok(()),
            count => Err(DetachError::InUse { count }),
        };
        unused()?;
        self.close().await;
        unused()?;
        let builtin = Arc::clone(&self.inner.builtin);
        blocking(move || builtin.purge()).await.ok_or(DetachError::Closed)?.map_err(DetachError::Steps)
    }
}
