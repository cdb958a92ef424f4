//! The attachments of the built-in network, how far each is, and the numbers and ports that they have.

use super::host::Bridge;
use super::plan;
use super::pool::Pool;
use crate::attachment::{AttachRequest, Attachment};
use crate::bounds::BRIDGE_PORTS;
use crate::config::Settings;
use crate::error::{AttachError, PortOwner};
use crate::ports::{PortMapping, PortSet};
use crate::record::AttachmentRecord;
use crate::request;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// What is known of one attachment.
#[derive(Clone, Debug)]
pub(crate) struct AttachmentEntry {
    pub(crate) record: Arc<AttachmentRecord>,
    pub(crate) attachment: Arc<Attachment>,
    pub(crate) state: AttachmentState,
}

/// How far an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachmentState {
    /// It is being made.
    Making,
    /// It was made, and can be shown.
    Ready,
    /// It is to be taken away: its ports are not to be mapped again.
    Leaving {
        /// When it could not be taken away for the first time.
        failing_since: Option<Instant>,
    },
}

impl AttachmentState {
    pub(crate) const LEAVING: Self = Self::Leaving { failing_since: None };
}

/// All attachments and the numbers they use.
#[derive(Debug)]
pub(crate) struct AttachmentTable {
    pub(crate) entries: HashMap<String, AttachmentEntry>,
    /// Attachments whose records can't be read.
    pub(crate) lost: BTreeMap<String, Lost>,
    /// Numbers of links that no record has: those of lost attachments are among them.
    pub(crate) strays: BTreeSet<u32>,
    pub(crate) pool: Pool,
}

/// An attachment of which nothing is known but that it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It was complete, and somebody may use it.
    InUse,
    /// It is to be taken away.
    Leaving,
}

impl AttachmentEntry {
    pub(crate) fn of(record: AttachmentRecord, state: AttachmentState) -> Self {
        let attachment = Arc::new(record.attachment.clone());
        Self { record: Arc::new(record), attachment, state }
    }

    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.state, AttachmentState::Leaving { .. })
    }
}

impl AttachmentTable {
    pub(crate) fn new(entries: HashMap<String, AttachmentEntry>, pool: Pool) -> Self {
        Self { entries, lost: BTreeMap::new(), strays: BTreeSet::new(), pool }
    }

    /// The ids of all.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &String> {
        self.entries.keys().chain(self.lost.keys())
    }

    /// A port of the set that is in the way of an attachment's, and whose.
    pub(crate) fn meets(&self, ports: &PortSet) -> Option<(PortMapping, String)> {
        let others = self.entries.iter().map(|(id, entry)| (id.as_str(), entry.attachment.ports.as_slice()));
        ports.meets(others).map(|(port, id)| (port, id.to_owned()))
    }

    /// Reserves ports and a number for the request, none of those in `lingering`; none if all free ones linger.
    pub(crate) fn reserve(
        &mut self,
        settings: &Settings,
        bridge: Bridge,
        request: &AttachRequest,
        lingering: &BTreeSet<u32>,
    ) -> Result<Option<AttachmentEntry>, AttachError> {
        if self.entries.len() >= BRIDGE_PORTS {
            return Err(AttachError::Full { most: BRIDGE_PORTS });
        }
        if let Some((port, id)) = self.meets(&request::ports_of(request)?) {
            return Err(AttachError::PortTaken { port, owner: PortOwner::Attachment(id) });
        }
        let Some(host_index) = self.pool.take(|host_index| !lingering.contains(&host_index)) else {
            if !lingering.is_empty() {
                return Ok(None);
            }
            let subnets = [settings.v4, settings.v6].into_iter().flatten().map(|subnet| subnet.to_string());
            let subnet = subnets.collect::<Vec<_>>().join(" and ");
            return Err(AttachError::NoAddress { subnet, used: self.pool.used() });
        };
        let entry = AttachmentEntry::of(plan::record(settings, bridge, request, host_index), AttachmentState::Making);
        self.entries.insert(request.id.clone(), entry.clone());
        Ok(Some(entry))
    }

    /// It is made.
    pub(crate) fn complete(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.state = AttachmentState::Ready;
        }
    }

    /// It is to be taken away; gives its record, if it has one.
    pub(crate) fn leave(&mut self, id: &str) -> Option<Arc<AttachmentRecord>> {
        let entry = self.entries.get_mut(id)?;
        if !entry.is_leaving() {
            entry.state = AttachmentState::LEAVING;
        }
        Some(Arc::clone(&entry.record))
    }

    /// Counts that it could not be taken away; gives since when.
    pub(crate) fn fail(&mut self, id: &str) -> Option<Instant> {
        match &mut self.entries.get_mut(id)?.state {
            AttachmentState::Leaving { failing_since } => Some(*failing_since.get_or_insert_with(Instant::now)),
            AttachmentState::Making | AttachmentState::Ready => None,
        }
    }

    /// Forgets an entry and frees what it had.
    pub(crate) fn delete(&mut self, id: &str) {
        if let Some(entry) = self.entries.remove(id) {
            self.pool.release(entry.record.host_index);
        }
    }

    /// Forgets a lost one; gives the numbers that belonged to any of them once the last is gone.
    pub(crate) fn delete_lost(&mut self, id: &str) -> BTreeSet<u32> {
        self.lost.remove(id);
        if !self.lost.is_empty() {
            return BTreeSet::new();
        }
        let strays = std::mem::take(&mut self.strays);
        strays.iter().for_each(|host_index| self.pool.release(*host_index));
        strays
    }

    /// Whether there is something of this id that is to be taken away.
    pub(crate) fn is_leaving(&self, id: &str) -> bool {
        self.entries.get(id).is_some_and(AttachmentEntry::is_leaving) || self.lost.get(id) == Some(&Lost::Leaving)
    }
}
