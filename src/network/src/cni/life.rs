//! In which order things happen to an attachment that plugins make, and what is on disk when.

use super::CniConfig;
use super::caller::{Caller, INTERFACE, Subject};
use super::conflist::Conflist;
use super::directory::{Choice, Directory};
use super::error::CniError;
use super::orphans;
use super::record::{self, Record};
use super::watch::Health;
use super::{request, result};
use crate::attachment::{AttachRequest, Attachment};
use crate::error::{AttachError, DetachError, OpenError, StepError};
use crate::lifecycle::{blocking, lock};
use crate::link::{Link, Routes};
use crate::netns;
use crate::plan;
use crate::ports::PortMapping;
use peapod_store::{Database, StoreError};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use std::{io, thread};
use tokio::sync::{RwLock, oneshot};
use tokio_util::sync::CancellationToken;

/// What is known of one attachment.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    pub(super) attachment: Arc<Attachment>,
    /// It is being made or taken away.
    pub(super) hidden: bool,
}

/// The attachments that plugins made, and the configuration for new ones.
pub(crate) struct Cni {
    pub(crate) directory: Directory,
    pub(super) caller: Caller,
    netns_dir: PathBuf,
    patience: Duration,
    db: Database,
    pub(super) entries: Mutex<HashMap<String, Entry>>,
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
            let record: Record =
                serde_json::from_str(&text).map_err(|source| OpenError::Record { id: id.clone(), source })?;
            entries.insert(id, Entry::of(record));
        }
        if !entries.is_empty() {
            let ids: Vec<String> = entries.keys().cloned().collect();
            // Before anything is taken away that they could make again.
            let _ = blocking(move || orphans::end(&ids.iter().map(String::as_str).collect())).await;
        }
        Ok(Self {
            directory: Directory::new(config.conf_dir),
            caller: Caller::new(config.bin_dirs, config.timeout, closing),
            netns_dir,
            patience: config.patience,
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
    pub(crate) fn is_half_made(&self, id: &str) -> bool {
        lock(&self.entries).get(id).is_some_and(|entry| entry.hidden)
    }

    pub(crate) fn half_made(&self) -> Vec<String> {
        lock(&self.entries).iter().filter(|(_, entry)| entry.hidden).map(|(id, _)| id.clone()).collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.entries).keys().cloned().collect()
    }

    pub(crate) fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        lock(&self.entries).get(id).filter(|entry| !entry.hidden).map(|entry| Arc::clone(&entry.attachment))
    }

    /// Who has a port that is in this one's way.
    pub(crate) fn holder(&self, port: &PortMapping) -> Option<String> {
        let entries = lock(&self.entries);
        let holder = entries.iter().find(|(_, entry)| entry.attachment.ports.iter().any(|had| had.collides(port)));
        holder.map(|(id, _)| id.clone())
    }

    /// The attachment, if the same request was fulfilled before.
    pub(crate) fn known(&self, request: &AttachRequest) -> Result<Option<Arc<Attachment>>, AttachError> {
        match self.attachment(&request.id) {
            Some(known) if !plan::same_ports(&known.ports, &request.ports) => {
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
        let _not_collecting = self.collecting.read().await;
        let mut record = self.plan(request, &conflist);
        self.write(&record).await?;
        peapod_sys::fail_point("cni-recorded");
        make_namespace(record.attachment.netns.clone()).await?;
        peapod_sys::fail_point("cni-pinned");
        let subject = subject(&record, Some(&record.attachment.netns));
        let result = self.caller.add(&conflist, &subject).await?;
        peapod_sys::fail_point("cni-added");
        let garbage = |what| CniError::Garbage { plugin: conflist.name.clone(), command: "ADD", what };
        result::read(&result, &mut record.attachment).map_err(garbage)?;
        if record.attachment.ips.is_empty() {
            return Err(CniError::NoAddress { network: conflist.name.clone() }.into());
        }
        record.result = Some(result);
        self.write(&record).await?;
        self.attachment(&request.id).ok_or(AttachError::Closed)
    }

    fn plan(&self, request: &AttachRequest, conflist: &Conflist) -> Record {
        let attachment = Attachment {
            id: request.id.clone(),
            netns: self.netns_dir.join(format!("peapod-{}", request.id)),
            ips: Vec::new(),
            gateways: Vec::new(),
            interface: INTERFACE.to_owned(),
            mac: String::new(),
            mtu: 0,
            host_interface: String::new(),
            ports: request.ports.clone(),
        };
        Record {
            attachment,
            conflist: conflist.clone(),
            args: request::args(request),
            capabilities: request::capabilities(request),
            result: None,
            failing_since: None,
        }
    }

    /// To disk, then to memory.
    async fn write(&self, record: &Record) -> Result<(), WriteError> {
        let id = record.attachment.id.clone();
        record::put(&self.db, id.clone(), serde_json::to_string(record)?).await?;
        lock(&self.entries).insert(id, Entry::of(record.clone()));
        Ok(())
    }

    /// Takes everything away, by the configuration that made it. Fine if there is nothing.
    pub(crate) async fn detach(&self, id: &str) -> Result<(), DetachError> {
        let record = {
            let mut entries = lock(&self.entries);
            let Some(entry) = entries.get_mut(id) else { return Ok(()) };
            entry.hidden = true;
            Arc::clone(&entry.record)
        };
        let netns = Some(record.attachment.netns.as_path()).filter(|path| netns::is_pinned(path));
        let errors = self.caller.del(&record.conflist, &subject(&record, netns), record.result.as_ref()).await;
        if !errors.is_empty() {
            self.count_failure(&record, errors).await?;
        }
        peapod_sys::fail_point("cni-undone");
        let path = record.attachment.netns.clone();
        blocking(move || netns::unpin(&path))
            .await
            .ok_or(DetachError::Closed)?
            .map_err(|error| DetachError::Steps(vec![error]))?;
        record::remove(&self.db, id.to_owned()).await?;
        lock(&self.entries).remove(id);
        Ok(())
    }

    /// Success once it has failed for so long that it is given up.
    async fn count_failure(&self, record: &Record, errors: Vec<CniError>) -> Result<(), DetachError> {
        let errors = DetachError::Cni(errors);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let Some(since) = record.failing_since.map(Duration::from_secs) else {
            let failing = Record { failing_since: Some(now.as_secs()), ..record.clone() };
            match self.write(&failing).await {
                Ok(()) => {}
                Err(WriteError::Store(error)) => return Err(error.into()),
                Err(WriteError::Json(error)) => tracing::warn!(%error, "the time of a failure is not noted"),
            }
            if let Some(entry) = lock(&self.entries).get_mut(&record.attachment.id) {
                entry.hidden = true;
            }
            return Err(errors);
        };
        if now.saturating_sub(since) < self.patience {
            return Err(errors);
        }
        let (id, network) = (&record.attachment.id, &record.conflist.name);
        tracing::warn!(network_id = %id, %network, error = %errors, "given up: plugins may keep something of this pod, such as its address");
        Ok(())
    }
}

impl Entry {
    fn of(record: Record) -> Self {
        let attachment = Arc::new(record.attachment.clone());
        let hidden = record.result.is_none() || record.failing_since.is_some();
        Self { record: Arc::new(record), attachment, hidden }
    }
}

pub(super) fn subject<'a>(record: &'a Record, netns: Option<&'a Path>) -> Subject<'a> {
    Subject { id: &record.attachment.id, netns, args: &record.args, capabilities: &record.capabilities }
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

/// Makes a namespace whose lo is up, and pins it.
async fn make_namespace(path: PathBuf) -> Result<(), AttachError> {
    let (done, outcome) = oneshot::channel();
    let make = move || {
        netns::enter_new()?;
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
