//! The network's door.

use crate::attachment::{AttachRequest, Attachment};
use crate::cni::Cni;
use crate::config::Config;
use crate::error::{AttachError, DetachError, OpenError};
use crate::lifecycle::{Inner, RETRY, blocking, lock};
use crate::node::Node;
use crate::plan::{self, Book, Entry, Lost};
use crate::pool::Pool;
use crate::record::{self, Record, Row};
use crate::status::NetworkStatus;
use peapod_store::Database;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A handle to the network; clones share it.
#[derive(Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("settings", &self.inner.node.settings).finish_non_exhaustive()
    }
}

impl Network {
    /// Opens the network: loads the attachments, takes away what was half made, makes bridge and table.
    ///
    /// If the node does not let it make them, the network opens all the same and its status says why; it is tried again
    /// every few seconds, by [`check`](Self::check) and by each attach. The same if others take them away later.
    ///
    /// # Errors
    /// Wrong settings, all mistakes at once; a database that can't be read. What is wrong with one attachment, such as a
    /// record that makes no sense or something half made that can't be taken away, is that attachment's alone: it is logged.
    pub async fn open(config: Config, db: Database) -> Result<Self, OpenError> {
        let (cni, patience) = (config.cni.clone(), config.cni.patience);
        let settings = config.settings().map_err(OpenError::Config)?;
        let (rows, cursor) = record::load(&db).await?;
        let (mut entries, mut lost) = (HashMap::new(), BTreeMap::new());
        for Row { id, complete, record } in rows {
            match Record::parse(&id, &record) {
                Ok(record) => {
                    entries.insert(id, Entry::of(record, complete));
                }
                Err(error) => {
                    tracing::error!(
                        network_id = %id, %error,
                        "the pod's network record cannot be used: its host ports lead nowhere, and it can only be taken away"
                    );
                    lost.insert(id, if complete { Lost::InUse } else { Lost::Leaving });
                }
            }
        }
        let used = entries.values().map(|entry| entry.record.slot).collect();
        let pool = Pool::new(plan::slots(&settings), used, cursor.unwrap_or(0));
        let book = Book { lost, ..Book::new(entries, pool) };
        let half_made: Vec<String> =
            book.entries.keys().chain(book.lost.keys()).filter(|id| book.is_leaving(id)).cloned().collect();
        let closing = CancellationToken::new();
        let cni = Cni::open(cni, settings.netns_dir.clone(), db.clone(), closing.clone()).await?;
        let inner = Inner::new(Node::new(settings), db, Arc::new(cni), patience, closing, book);
        let network = Self { inner: Arc::new(inner) };
        network.inner.find_strays().await;
        for id in half_made {
            if let Err(error) = network.detach(&id).await {
                tracing::warn!(network_id = %id, %error, "cannot undo a half-made network yet");
            }
        }
        // Plugins may be slow, and nobody has to wait for those pods.
        for id in network.inner.cni.half_made() {
            network.inner.detach_later(id, Duration::ZERO);
        }
        network.check().await;
        network.inner.tasks.spawn(Inner::watch_cni(Arc::downgrade(&network.inner)));
        let watch = Inner::watch(Arc::downgrade(&network.inner), network.inner.closing.clone());
        network.inner.tasks.spawn(watch);
        Ok(network)
    }

    /// Whether pods can be attached, as last seen. No I/O.
    pub fn status(&self) -> NetworkStatus {
        self.inner.status_now()
    }

    /// Looks now whether pods can be attached, makes bridge and table if they are missing, and says how that went.
    pub async fn check(&self) -> NetworkStatus {
        let inner = Arc::clone(&self.inner);
        // A closed runtime has no status to show either.
        let _ = inner.cni.look().await;
        if inner.is_built_in_used() {
            // The outcome is in the status.
            let _ = blocking(move || inner.repair()).await;
        }
        self.status()
    }

    /// The attachment of this id. No I/O.
    pub fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        if let Some(made_by_plugins) = self.inner.cni.attachment(id) {
            return Some(made_by_plugins);
        }
        let book = lock(&self.inner.book);
        book.entries.get(id).filter(|entry| entry.complete && !entry.leaving).map(|entry| Arc::clone(&entry.attachment))
    }

    /// The ids of all attachments, also of those that are being made or taken away. No I/O.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = self.inner.cni.ids();
        let book = lock(&self.inner.book);
        ids.extend(book.entries.keys().chain(book.lost.keys()).cloned());
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
        let task = self.inner.tasks.spawn(async move {
            let _turn = network.inner.order.turn(&request.id).await;
            network.inner.attach_somewhere(request).await
        });
        task.await.unwrap_or(Err(AttachError::Closed))
    }

    /// Takes the attachment of this id away: ports, pin, address. The links go when the last process has left the
    /// namespace. Fine if there is none. Dropping the future does not stop the work.
    ///
    /// # Errors
    /// See [`DetachError`]: everything that could be done was done, and it can be repeated. It is, every few seconds, until
    /// it succeeds or [`CniConfig::patience`](crate::CniConfig::patience) is over.
    pub async fn detach(&self, id: &str) -> Result<(), DetachError> {
        let network = self.clone();
        let id = id.to_owned();
        let task = self.inner.tasks.spawn(async move {
            let _turn = network.inner.order.turn(&id).await;
            let detached = network.inner.detach_anywhere(&id).await;
            if detached.is_err() {
                network.inner.detach_later(id, RETRY);
            }
            detached
        });
        task.await.unwrap_or(Err(DetachError::Closed))
    }

    /// Lets no new attach begin and waits for what is going on.
    pub async fn close(&self) {
        lock(&self.inner.book).closed = true;
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Closes the network and takes bridge and table away: for leaving a node, not for a restart.
    ///
    /// # Errors
    /// While anything is attached, and then nothing happens; or if the kernel refuses.
    pub async fn purge(&self) -> Result<(), DetachError> {
        let inner = Arc::clone(&self.inner);
        let unused = || match lock(&self.inner.book).entries.len() {
            0 => Ok(()),
            count => Err(DetachError::InUse { count }),
        };
        unused()?;
        self.close().await;
        unused()?;
        blocking(move || inner.node.purge()).await.ok_or(DetachError::Closed)?.map_err(DetachError::Steps)
    }
}
