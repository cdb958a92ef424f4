//! The built-in network: a bridge, pinned namespaces, links into them, host ports.

mod attach;
mod detach;
mod facts;
mod host;
mod naming;
mod plan;
mod pool;
mod table;
mod work;

use self::host::HostNetwork;
use self::pool::Pool;
use self::table::{AttachmentEntry, AttachmentState, AttachmentTable, Lost};
use crate::attachment::Attachment;
use crate::config::Settings;
use crate::error::{OpenError, StepError};
use crate::neighbour::Neighbour;
use crate::netns;
use crate::nft::Element;
use crate::ports::{PortMapping, PortSet};
use crate::record::{self, AttachmentRecord, AttachmentRow};
use crate::routes::Routes;
use crate::status::NetworkStatus;
use crate::sync::{blocking, lock};
use peapod_store::Database;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How many attachments are made at the same time; more only queue for the kernel's one lock of all links.
const AT_ONCE: usize = 8;

/// The built-in network and its attachments.
pub(crate) struct Builtin {
    host: HostNetwork,
    db: Database,
    table: Mutex<AttachmentTable>,
    status: Mutex<NetworkStatus>,
    /// For how long what can't be taken away is kept and tried again.
    give_up_after: Duration,
    permits: Semaphore,
    /// Lets no new attempt begin.
    closing: CancellationToken,
}

impl Builtin {
    /// Loads the attachments. Makes nothing.
    pub(crate) async fn open(
        settings: Settings,
        db: Database,
        give_up_after: Duration,
        closing: CancellationToken,
    ) -> Result<Arc<Self>, OpenError> {
        let (rows, cursor) = record::load(&db).await?;
        let (mut entries, mut lost) = (HashMap::new(), BTreeMap::new());
        for AttachmentRow { id, complete, record } in rows {
            match AttachmentRecord::parse(&id, &record) {
                Ok(record) => {
                    entries.insert(
                        id,
                        AttachmentEntry::of(
                            record,
                            if complete { AttachmentState::Ready } else { AttachmentState::LEAVING },
                        ),
                    );
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
        let used = entries.values().map(|entry| entry.record.host_index).collect();
        let pool = Pool::new(plan::host_indexes(&settings), used, cursor.unwrap_or(0));
        let name = format!("built-in bridge {}", settings.bridge);
        let status = NetworkStatus { ready: false, name, reason: String::new(), message: String::new() };
        let builtin = Arc::new(Self {
            host: HostNetwork::new(settings),
            db,
            table: Mutex::new(AttachmentTable { lost, ..AttachmentTable::new(entries, pool) }),
            status: Mutex::new(status),
            give_up_after,
            permits: Semaphore::new(AT_ONCE),
            closing,
        });
        builtin.find_strays().await;
        Ok(builtin)
    }

    /// The checked settings.
    pub(crate) fn settings(&self) -> &Settings {
        &self.host.settings
    }

    /// Whether there is, or may be, anything of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        lock(&self.table).entries.contains_key(id)
    }

    /// Whether there is something of this id that is to be taken away.
    pub(crate) fn is_leaving(&self, id: &str) -> bool {
        lock(&self.table).is_leaving(id)
    }

    /// What is to be taken away.
    pub(crate) fn leaving(&self) -> Vec<String> {
        let table = lock(&self.table);
        table.ids().filter(|id| table.is_leaving(id)).cloned().collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        lock(&self.table).ids().cloned().collect()
    }

    /// How many attachments there are whose records can be read.
    pub(crate) fn count(&self) -> usize {
        lock(&self.table).entries.len()
    }

    pub(crate) fn attachment(&self, id: &str) -> Option<Arc<Attachment>> {
        let table = lock(&self.table);
        table
            .entries
            .get(id)
            .filter(|entry| entry.state == AttachmentState::Ready)
            .map(|entry| Arc::clone(&entry.attachment))
    }

    /// A port of the set that is in the way of an attachment's, and whose.
    pub(crate) fn meets(&self, ports: &PortSet) -> Option<(PortMapping, String)> {
        lock(&self.table).meets(ports)
    }

    /// How the network is, as last seen.
    pub(crate) fn status(&self) -> NetworkStatus {
        lock(&self.status).clone()
    }

    /// Makes bridge and table if they are missing; whether they were. Says in the status how it went. Blocks.
    pub(crate) fn repair(&self) -> Result<bool, StepError> {
        let repaired = self.host.repair(|| self.elements(), || self.neighbours());
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

    /// Takes bridge and tables away. Blocks.
    pub(crate) fn purge(&self) -> Result<(), Vec<StepError>> {
        self.host.purge()
    }

    /// What the tables have to hold now.
    fn elements(&self) -> BTreeSet<Element> {
        let table = lock(&self.table);
        let mut elements = BTreeSet::new();
        for entry in table.entries.values().filter(|entry| !entry.is_leaving()) {
            // After a reboot the records are there but the namespaces are not: nobody is behind these ports.
            let alive = entry.state == AttachmentState::Making || netns::is_pinned(&entry.attachment.netns);
            elements.extend(if alive { work::elements(&entry.record) } else { work::sources(&entry.record) });
        }
        elements.extend(table.strays.iter().flat_map(|host_index| plan::sources(&self.host.settings, *host_index)));
        elements
    }

    /// The pods that are the bridge's neighbours now.
    fn neighbours(&self) -> BTreeSet<Neighbour> {
        let table = lock(&self.table);
        let settings = &self.host.settings;
        let known = table.entries.values().filter(|entry| !entry.is_leaving());
        let known = known.flat_map(|entry| work::neighbours(&self.host, &entry.record));
        known.chain(table.strays.iter().flat_map(|host_index| plan::neighbours(settings, *host_index))).collect()
    }

    /// Links on the node that no record leads to may be those of pods whose records can't be read: they go on sending,
    /// and nobody else gets their numbers.
    async fn find_strays(&self) {
        if lock(&self.table).lost.is_empty() {
            return;
        }
        let links = blocking(|| Routes::open().and_then(|mut routes| routes.links())).await;
        let mut table = lock(&self.table);
        for link in links.and_then(Result::ok).unwrap_or_default() {
            if let Some(host_index) = naming::host_index_of(&self.host.settings.bridge, &link.name)
                .filter(|host_index| table.pool.reserve(*host_index))
            {
                table.strays.insert(host_index);
            }
        }
    }
}
