//! In which order things happen to an attachment that plugins make, and what is on disk when.

use super::CniConfig;
use super::caller::{Caller, PluginSubject};
use super::conflist::Conflist;
use super::directory::{Choice, ConfDirectory};
use super::error::CniError;
use super::health::Health;
use super::orphans;
use super::record::{self, CniRecord};
use super::{request, result};
use crate::attachment::{AttachRequest, Attachment};
use crate::bounds::PLUGIN_ATTACHMENTS;
use crate::error::{AttachError, DetachError, OpenError, StepError};
use crate::link::Link;
use crate::netns;
use crate::ports::{PortMapping, PortSet};
use crate::request::same_ports;
use crate::routes::Routes;
use crate::stages;
use crate::sync::{blocking, lock};
use peapod_store::{Database, StoreError};
use peapod_trace::Span;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use std::{io, thread};
use tokio::sync::{RwLock, oneshot};
use tokio_util::sync::CancellationToken;

/// What is known of one attachment.
#[derive(Clone)]
pub(super) struct CniAttachmentEntry {
    pub(super) record: Arc<CniRecord>,
    pub(super) attachment: Arc<Attachment>,
    pub(super) state: CniAttachmentState,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CniAttachmentState {
    /// It is being made.
    Making,
    /// It is there.
    Ready,
    /// It is to be taken away.
    Leaving,
    /// Its record can't be read: somebody may use it, and it can only be taken away.
    Lost,
}

/// The attachments that plugins made, and the configuration for new ones.
pub(crate) struct Cni {
    pub(crate) directory: ConfDirectory,
    pub(super) caller: Caller,
    netns_dir: PathBuf,
    give_up_after: Duration,
    db: Database,
    pub(super) entries: Mutex<HashMap<String, CniAttachmentEntry>>,
    pub(super) health: Mutex<Health>,
    /// Shared while pods are connected: what is taken away as nobody's must not be somebody's in a moment.
    pub(super) collecting: RwLock<()>,
}

impl Cni {
    pub(crate) async fn open(
        config: CniConfig,
        netns_dir: PathBuf,
        db: Database,
        closing: CancellationToken,
    ) -> Result<Self, OpenError> {
        let mut entries = HashMap::new();
        for (id, text) in record::load(&db).await? {
            let entry = match CniRecord::parse(&id, &text) {
                Ok(record) if record.is_whole() => CniAttachmentEntry::of(record, CniAttachmentState::Ready),
                // Nobody goes on to make it.
                Ok(record) => CniAttachmentEntry::of(record, CniAttachmentState::Leaving),
                Err(error) => {
                    tracing::error!(
                        network_id = %id, %error,
                        "the pod's network record cannot be used: it is taken away by the CNI configuration of now"
                    );
                    let dir = config.conf_dir.clone();
                    let now = blocking(move || ConfDirectory::new(dir).look().0).await.unwrap_or(Choice::None);
                    let record = CniRecord::lost(&id, &netns_dir, &now);
                    CniAttachmentEntry::of(record, CniAttachmentState::Lost)
                }
            };
            entries.insert(id, entry);
        }
        if !entries.is_empty() {
            let ids: Vec<String> = entries.keys().cloned().collect();
            // Before anything is taken away that they could make again.
            let _ = blocking(move || orphans::end(&ids.iter().map(String::as_str).collect())).await;
        }
        Ok(Self {
            directory: ConfDirectory::new(config.conf_dir),
            caller: Caller::new(config.bin_dirs, config.timeout, closing),
            netns_dir,
            give_up_after: config.give_up_after,
            db,
            entries: Mutex::new(entries),
            health: Mutex::default(),
            collecting: RwLock::default(),
        })
    }

    /// Whether there is, or may be, anything of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        lock(&self.entries).contains_key(id)
    }

    /// Whether there is something of this id that is to be taken away.
    pub(crate) fn is_leaving(&self, id: &str) -> bool {
        lock(&self.entries).get(id).is_some_and(|entry| entry.state == CniAttachmentState::Leaving)
    }

    /// What is to be taken away.
    pub(crate) fn leaving(&self) -> Vec<String> {
        let leaving = |entry: &CniAttachmentEntry| entry.state == CniAttachmentState::Leaving;
        lock(&self.entries).iter().filter(|(_, entry)| leaving(entry)).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.entries).keys().cloned().collect()
    }

    pub(crate) fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        let entries = lock(&self.entries);
        entries
            .get(id)
            .filter(|entry| entry.state == CniAttachmentState::Ready)
            .map(|entry| Arc::clone(&entry.attachment))
    }

    /// A port of the set that is in the way of an attachment's, and whose.
    pub(crate) fn meets(&self, ports: &PortSet) -> Option<(PortMapping, String)> {
        let entries = lock(&self.entries);
        let others = entries.iter().map(|(id, entry)| (id.as_str(), entry.attachment.ports.as_slice()));
        ports.meets(others).map(|(port, id)| (port, id.to_owned()))
    }

    /// The attachment, if the same request was fulfilled before.
    pub(crate) fn known(&self, request: &AttachRequest) -> Result<Option<Arc<Attachment>>, AttachError> {
        match self.attachment(&request.id) {
            Some(known) if !same_ports(&known.ports, &request.ports) => {
                Err(AttachError::Different { id: request.id.clone() })
            }
            known => Ok(known),
        }
    }

    /// Connects by the configuration of this moment. On an error something may be left, for [`detach`](Self::detach).
    pub(crate) async fn attach(&self, request: &AttachRequest, choice: Choice) -> Result<Arc<Attachment>, AttachError> {
        let conflist = match choice {
            Choice::Use(conflist) => conflist,
            Choice::Unusable(error) => return Err(CniError::from(error).into()),
            Choice::None => return Err(AttachError::Closed),
        };
        if !request.ports.is_empty() && !conflist.takes("portMappings") {
            tracing::warn!(network_id = %request.id, network = %conflist.name, "no plugin maps host ports: they lead nowhere");
        }
        if lock(&self.entries).len() >= PLUGIN_ATTACHMENTS {
            return Err(AttachError::Full { most: PLUGIN_ATTACHMENTS });
        }
        let span = &request.span;
        span.enter(&stages::TURN);
        let _not_collecting = self.collecting.read().await;
        let mut record = self.plan(request, &conflist);
        span.enter(&stages::RECORD);
        self.write(&record, CniAttachmentState::Making).await?;
        peapod_sys::fail_point("cni-recorded");
        span.enter(&stages::NAMESPACE);
        make_namespace(request.namespace.clone(), record.attachment.netns.clone()).await?;
        peapod_sys::fail_point("cni-pinned");
        let subject = subject(&record, Some(&record.attachment.netns), span);
        let result = self.caller.add(&conflist, &subject).await?;
        peapod_sys::fail_point("cni-added");
        let garbage = |what| CniError::Garbage { plugin: conflist.name.clone(), command: "ADD", what };
        result::read(&result, &mut record.attachment).map_err(garbage)?;
        if record.attachment.ips.is_empty() {
            return Err(CniError::NoAddress { network: conflist.name.clone() }.into());
        }
        record.result = Some(result);
        span.enter(&stages::RECORD);
        self.write(&record, CniAttachmentState::Ready).await?;
        self.attachment(&request.id).ok_or(AttachError::Closed)
    }

    fn plan(&self, request: &AttachRequest, conflist: &Conflist) -> CniRecord {
        CniRecord {
            attachment: record::planned(&request.id, &self.netns_dir, request.ports.clone()),
            conflist: conflist.clone(),
            args: request::args(request),
            capabilities: request::capabilities(request),
            result: None,
            failing_since: None,
        }
    }

    /// To disk, then to memory.
    async fn write(&self, record: &CniRecord, state: CniAttachmentState) -> Result<(), WriteError> {
        let id = record.attachment.id.clone();
        record::put(&self.db, id.clone(), serde_json::to_string(record)?).await?;
        lock(&self.entries).insert(id, CniAttachmentEntry::of(record.clone(), state));
        Ok(())
    }

    /// What there is of this id is to be taken away; gives its record, if it has one.
    pub(crate) fn leave(&self, id: &str) -> Option<Arc<CniRecord>> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(id)?;
        entry.state = CniAttachmentState::Leaving;
        Some(Arc::clone(&entry.record))
    }

    /// Takes everything away, by the configuration that made it. Fine if there is nothing.
    pub(crate) async fn detach(&self, id: &str, span: &Span) -> Result<(), DetachError> {
        let Some(record) = self.leave(id) else { return Ok(()) };
        let netns = Some(record.attachment.netns.as_path()).filter(|path| netns::is_pinned(path));
        let errors = self.caller.del(&record.conflist, &subject(&record, netns, span), record.result.as_ref()).await;
        span.enter(&stages::REMOVAL);
        if !errors.is_empty() {
            self.count_failure(&record, DetachError::Cni(errors)).await?;
        }
        peapod_sys::fail_point("cni-undone");
        let path = record.attachment.netns.clone();
        if let Err(error) = blocking(move || netns::unpin(&path)).await.ok_or(DetachError::Closed)? {
            self.count_failure(&record, DetachError::Steps(vec![error])).await?;
        }
        record::delete(&self.db, id.to_owned()).await?;
        lock(&self.entries).remove(id);
        Ok(())
    }

    /// Success once it has failed for so long that it is given up.
    async fn count_failure(&self, record: &CniRecord, errors: DetachError) -> Result<(), DetachError> {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let Some(since) = record.failing_since.map(Duration::from_secs) else {
            let failing = CniRecord { failing_since: Some(now.as_secs()), ..record.clone() };
            match self.write(&failing, CniAttachmentState::Leaving).await {
                Ok(()) => {}
                Err(WriteError::Store(error)) => return Err(error.into()),
                Err(WriteError::Json(error)) => tracing::warn!(%error, "the time of a failure is not noted"),
            }
            return Err(errors);
        };
        if now.saturating_sub(since) < self.give_up_after {
            return Err(errors);
        }
        let (id, network) = (&record.attachment.id, &record.conflist.name);
        tracing::warn!(network_id = %id, %network, error = %errors, "given up: something of this pod's network may stay, such as its address");
        Ok(())
    }
}

impl CniAttachmentEntry {
    fn of(record: CniRecord, state: CniAttachmentState) -> Self {
        let attachment = Arc::new(record.attachment.clone());
        Self { record: Arc::new(record), attachment, state }
    }
}

pub(super) fn subject<'a>(record: &'a CniRecord, netns: Option<&'a Path>, span: &'a Span) -> PluginSubject<'a> {
    let CniRecord { attachment, args, capabilities, .. } = record;
    PluginSubject { id: &attachment.id, netns, args, capabilities, span }
}

/// A record could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl From<WriteError> for AttachError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => error.into(),
            WriteError::Json(error) => StepError::new("write the network record", io::Error::from(error)).into(),
        }
    }
}

/// Makes a namespace whose lo is up, or takes the given one, and pins it.
async fn make_namespace(given: Option<PathBuf>, path: PathBuf) -> Result<(), AttachError> {
    let (done, outcome) = oneshot::channel();
    let make = move || {
        netns::enter(given.as_deref())?;
        let loopback = Link { index: 1, name: "lo".to_owned(), ..Link::default() };
        Routes::open()?.switch_on(&loopback)?;
        netns::pin(&path)
    };
    // A thread of its own, because it ends in another namespace.
    thread::Builder::new()
        .name("net-attach".to_owned())
        .spawn(move || done.send(make()))
        .map_err(|source| StepError::new("start a thread", source))?;
    Ok(outcome.await.map_err(|_| AttachError::Closed)??)
}
