//! In which order things happen to an attachment, and what is on disk when.

use crate::attachment::{AttachRequest, Attachment};
use crate::cni::Cni;
use crate::error::{AttachError, DetachError, StepError};
use crate::keyed::Keyed;
use crate::listeners;
use crate::neighbour::Neighbour;
use crate::netns;
use crate::nft::Element;
use crate::node::{Bridge, Node};
use crate::plan::{self, Book, Entry};
use crate::record;
use crate::status::NetworkStatus;
use crate::work::{self, Trouble};
use peapod_store::Database;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many attachments are made at the same time; more only queue for the kernel's one lock of all links.
const AT_ONCE: usize = 8;
/// How long to wait for an address whose link is on its way out, when no other is free, and how often to look. The kernel
/// takes away some 700 namespaces a second, one after the other.
const REST: Duration = Duration::from_secs(10);
const REST_POLL: Duration = Duration::from_millis(20);
/// How often to look whether bridge and table are still there.
const WATCH: Duration = Duration::from_secs(5);
/// How soon what could not be taken away is tried again, at first and at last.
pub(crate) const RETRY: Duration = Duration::from_secs(1);
pub(crate) const RETRY_MAX: Duration = Duration::from_secs(30);
/// The thread that makes an attachment needs little.
const STACK: usize = 256 << 10;

/// What all handles share.
pub(crate) struct Inner {
    pub(crate) node: Node,
    pub(crate) db: Database,
    /// Networks that plugins make.
    pub(crate) cni: Arc<Cni>,
    pub(crate) book: Mutex<Book>,
    pub(crate) status: Mutex<NetworkStatus>,
    /// Attach and detach of one id follow each other.
    pub(crate) order: Keyed,
    /// Whose detach is being tried again.
    pub(crate) retrying: Mutex<HashSet<String>>,
    /// For how long what can't be taken away is kept and tried again.
    pub(crate) patience: Duration,
    slots: Semaphore,
    pub(crate) tasks: TaskTracker,
    /// Ends the watch.
    pub(crate) closing: CancellationToken,
}

/// Why an attachment could not be made; what there is of it is still to be taken away.
enum Failure {
    /// The link that had the number last is not gone yet.
    Resting,
    /// Anything else.
    Attach(AttachError),
}

/// Runs what blocks; none if the runtime ends.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code between lock and unlock can leave half a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    pub(crate) fn new(
        node: Node,
        db: Database,
        cni: Arc<Cni>,
        patience: Duration,
        closing: CancellationToken,
        book: Book,
    ) -> Self {
        let name = format!("built-in bridge {}", node.settings.bridge);
        let status = NetworkStatus { ready: false, name, reason: String::new(), message: String::new() };
        Self {
            node,
            db,
            cni,
            book: Mutex::new(book),
            status: Mutex::new(status),
            order: Keyed::default(),
            retrying: Mutex::default(),
            patience,
            slots: Semaphore::new(AT_ONCE),
            tasks: TaskTracker::new(),
            closing,
        }
    }

    /// Makes bridge and table if they are missing; whether they were. Says in the status how it went. Blocks.
    pub(crate) fn repair(&self) -> Result<bool, StepError> {
        let repaired = self.node.repair(|| self.elements(), || self.neighbours());
        let mut status = lock(&self.status);
        match &repaired {
            Ok(true) => tracing::info!(network = %status.name, "bridge and nftables tables were made"),
            Ok(false) => {}
            // Said once, not with every look.
            Err(error) if status.ready || status.message.is_empty() => {
                tracing::warn!(network = %status.name, %error, "pods cannot be connected");
            }
            Err(_) => {}
        }
        status.ready = repaired.is_ok();
        (status.reason, status.message) = match &repaired {
            Ok(_) => (String::new(), format!("pods are connected to the {}", status.name)),
            Err(error) => ("BridgeNotReady".to_owned(), format!("the {} cannot be used: {error}", status.name)),
        };
        repaired
    }

    /// Looks now and then whether bridge and table are there, for others take them away: a firewall that is loaded again
    /// flushes all rules. And a node whose network is not ready gets no pods that would make it so.
    ///
    /// Ends with the last handle, or when the network is closed.
    pub(crate) async fn watch(inner: Weak<Self>, closing: CancellationToken) {
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                () = tokio::time::sleep(WATCH) => {}
            }
            let Some(inner) = inner.upgrade() else { return };
            if !inner.is_built_in_used() {
                continue;
            }
            // The outcome is in the status.
            let _ = blocking(move || inner.repair()).await;
        }
    }

    /// What the tables have to hold now.
    pub(crate) fn elements(&self) -> BTreeSet<Element> {
        let book = lock(&self.book);
        let mut elements = BTreeSet::new();
        for entry in book.entries.values().filter(|entry| !entry.leaving) {
            // After a reboot the records are there but the namespaces are not: nobody is behind these ports.
            let alive = !entry.complete || netns::is_pinned(&entry.attachment.netns);
            elements.extend(if alive { work::elements(&entry.record) } else { work::sources(&entry.record) });
        }
        elements.extend(book.strays.iter().flat_map(|slot| plan::sources(&self.node.settings, *slot)));
        elements
    }

    /// The pods that are the bridge's neighbours now.
    fn neighbours(&self) -> BTreeSet<Neighbour> {
        let book = lock(&self.book);
        let settings = &self.node.settings;
        let known = book.entries.values().filter(|entry| !entry.leaving);
        let known = known.flat_map(|entry| work::neighbours(&self.node, &entry.record));
        known.chain(book.strays.iter().flat_map(|slot| plan::neighbours(settings, *slot))).collect()
    }

    async fn repair_later(self: &Arc<Self>) -> Result<bool, AttachError> {
        let inner = Arc::clone(self);
        Ok(blocking(move || inner.repair()).await.ok_or(AttachError::Closed)??)
    }

    /// The bridge, made if need be.
    async fn bridge(self: &Arc<Self>) -> Result<Bridge, AttachError> {
        if let Some(bridge) = self.node.bridge() {
            return Ok(bridge);
        }
        self.repair_later().await?;
        self.node.bridge().ok_or(AttachError::Closed)
    }

    pub(crate) async fn attach(self: &Arc<Self>, request: AttachRequest) -> Result<Arc<Attachment>, AttachError> {
        let request = plan::check(&self.node.settings, request)?;
        if let Some(known) = self.known(&request).await? {
            return Ok(known);
        }
        self.check_listeners(&request).await?;
        let _slot = self.slots.acquire().await.map_err(|_| AttachError::Closed)?;
        let mut repaired = false;
        let mut resting = BTreeSet::new();
        let deadline = Instant::now() + REST;
        loop {
            let bridge = self.bridge().await?;
            // Numbers whose links rest count as free only as long as there is time to wait for them.
            let all_rest = Instant::now() >= deadline;
            let none = BTreeSet::new();
            let avoid = if all_rest { &none } else { &resting };
            let Some(entry) = lock(&self.book).reserve(&self.node.settings, bridge, &request, avoid)? else {
                resting.clear();
                tokio::time::sleep(REST_POLL).await;
                continue;
            };
            let failure = match self.make(bridge, &entry).await {
                Ok(()) => return Ok(entry.attachment),
                Err(failure) => failure,
            };
            self.take_back(&entry).await;
            match failure {
                Failure::Resting if !all_rest => {
                    resting.insert(entry.record.slot);
                }
                Failure::Resting => return Err(self.resting_error(&entry)),
                // Somebody may have taken the bridge or the table away since they were made.
                Failure::Attach(AttachError::Step(error)) if !repaired => {
                    repaired = true;
                    if !self.repair_later().await? {
                        return Err(error.into());
                    }
                }
                Failure::Attach(error) => return Err(error),
            }
        }
    }

    fn resting_error(&self, entry: &Entry) -> AttachError {
        let there = io::Error::from(rustix::io::Errno::EXIST);
        let link = &entry.attachment.host_interface;
        StepError::new(format!("make link {link}, and the links of all other free addresses are still there"), there)
            .into()
    }

    /// The attachment, if the same request was fulfilled before. What an earlier failure left is taken away.
    async fn known(self: &Arc<Self>, request: &AttachRequest) -> Result<Option<Arc<Attachment>>, AttachError> {
        let (entry, lost) = {
            let book = lock(&self.book);
            (book.entries.get(&request.id).cloned(), book.lost.contains_key(&request.id))
        };
        if lost {
            self.detach(&request.id).await?;
        }
        let Some(entry) = entry else { return Ok(None) };
        if !entry.complete || entry.leaving {
            self.detach(&request.id).await?;
            return Ok(None);
        }
        if !plan::same_ports(&entry.attachment.ports, &request.ports) {
            return Err(AttachError::Different { id: request.id.clone() });
        }
        Ok(Some(entry.attachment))
    }

    /// No process of the node listens on these ports.
    pub(crate) async fn check_listeners(&self, request: &AttachRequest) -> Result<(), AttachError> {
        if request.ports.is_empty() {
            return Ok(());
        }
        let (ports, set) = (request.ports.clone(), plan::ports_of(request)?);
        let look = move || match listeners::taken(&ports, &set)? {
            Some((port, owner)) => Err(AttachError::PortTaken { port, owner }),
            None => Ok(()),
        };
        // A port of another attachment is named as such later; no socket of the node listens on it.
        blocking(look).await.ok_or(AttachError::Closed)?
    }

    /// Writes the record, makes what it says, and writes that it is made.
    async fn make(self: &Arc<Self>, bridge: Bridge, entry: &Entry) -> Result<(), Failure> {
        let (told, committed) = mpsc::sync_channel(1);
        let (done, outcome) = oneshot::channel();
        let (inner, record) = (Arc::clone(self), Arc::clone(&entry.record));
        // A thread of its own, because it ends in another namespace. It begins while the record is being written.
        let work = move || {
            // Nobody waits any more only if the runtime is gone.
            let _ = done.send(work::make(&inner.node, bridge, &record, &committed));
        };
        thread::Builder::new()
            .name("net-attach".to_owned())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|source| StepError::new("start a thread", source))?;
        let json = serde_json::to_string(&*entry.record)
            .map_err(|source| StepError::new("write the network record", io::Error::from(source)))?;
        let id = entry.attachment.id.clone();
        record::begin(&self.db, id.clone(), entry.record.slot, json).await?;
        // If the thread has failed already, its outcome says why.
        peapod_sys::fail_point("network-recorded");
        let _ = told.send(());
        match outcome.await {
            Ok(Ok(())) => {}
            Ok(Err(Trouble::Step(error))) => return Err(error.into()),
            Ok(Err(Trouble::Resting)) => return Err(Failure::Resting),
            Ok(Err(Trouble::NotCommitted)) | Err(_) => return Err(AttachError::Closed.into()),
        }
        peapod_sys::fail_point("network-made");
        record::complete(&self.db, id.clone()).await?;
        peapod_sys::fail_point("network-complete");
        if let Some(entry) = lock(&self.book).entries.get_mut(&id) {
            entry.complete = true;
        }
        Ok(())
    }

    /// Undoes a failed attempt; what can't be undone now stays on record and is tried again.
    async fn take_back(self: &Arc<Self>, entry: &Entry) {
        let id = &entry.attachment.id;
        if let Err(error) = self.detach(id).await {
            tracing::warn!(network_id = %id, %error, "cannot undo a failed attach yet");
            self.detach_later(id.clone(), RETRY);
        }
    }

    pub(crate) async fn detach(self: &Arc<Self>, id: &str) -> Result<(), DetachError> {
        let record = {
            let mut book = lock(&self.book);
            match book.entries.get_mut(id) {
                Some(entry) => {
                    entry.leaving = true;
                    Some(Arc::clone(&entry.record))
                }
                None => None,
            }
        };
        let Some(record) = record else { return self.detach_lost(id).await };
        let inner = Arc::clone(self);
        let errors = blocking(move || inner.undo(&record)).await.ok_or(DetachError::Closed)?;
        if !errors.is_empty() {
            let errors = DetachError::Steps(errors);
            if !self.is_given_up(id) {
                return Err(errors);
            }
            tracing::warn!(network_id = %id, error = %errors, "given up: this of the pod's network stays");
        }
        peapod_sys::fail_point("network-undone");
        record::remove(&self.db, id.to_owned()).await?;
        lock(&self.book).forget(id);
        Ok(())
    }
}

impl<E: Into<AttachError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Attach(error.into())
    }
}
