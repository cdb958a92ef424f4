//! The records of attachments that plugins made. They hold the configuration as it was then, because by the time of the
//! end another one may be there, or none; and the result, which plugins want back.

use super::caller::INTERFACE;
use super::conflist::{Conflist, Object};
use super::directory::Choice;
use crate::attachment::Attachment;
use crate::ports::PortMapping;
use crate::record::{self, RecordError};
use peapod_store::rusqlite::params;
use peapod_store::{Database, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// One attachment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CniRecord {
    pub(crate) attachment: Attachment,
    pub(crate) conflist: Conflist,
    pub(crate) args: String,
    pub(crate) capabilities: Object,
    /// Absent until it is complete.
    pub(crate) result: Option<Value>,
    /// When it could not be taken away for the first time, in seconds since 1970.
    pub(crate) failing_since: Option<u64>,
}

impl CniRecord {
    pub(crate) fn parse(id: &str, text: &str) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_str(text)?;
        record::check(id, &record.attachment)?;
        Ok(record)
    }

    /// Whether plugins made it, and were not asked to take it away without success.
    pub(crate) fn is_whole(&self) -> bool {
        self.result.is_some() && self.failing_since.is_none()
    }

    /// What stands for a record that can't be read: enough to take the attachment away by the configuration of now.
    pub(crate) fn lost(id: &str, netns_dir: &Path, now: &Choice) -> Self {
        let conflist = match now {
            Choice::Use(conflist) => conflist.as_ref().clone(),
            Choice::None | Choice::Unusable(_) => Conflist::empty(),
        };
        let attachment = planned(id, netns_dir, Vec::new());
        let args = "IgnoreUnknown=1".to_owned();
        Self { attachment, conflist, args, capabilities: Object::new(), result: None, failing_since: None }
    }
}

/// An attachment before plugins said anything about it.
pub(crate) fn planned(id: &str, netns_dir: &Path, ports: Vec<PortMapping>) -> Attachment {
    Attachment {
        id: id.to_owned(),
        netns: netns_dir.join(record::pin_name(id)),
        ips: Vec::new(),
        gateways: Vec::new(),
        interface: INTERFACE.to_owned(),
        mac: String::new(),
        mtu: 0,
        host_interface: String::new(),
        ports,
    }
}

/// Id and text of all.
pub(crate) async fn load(db: &Database) -> Result<Vec<(String, String)>, StoreError> {
    db.read(|connection| {
        let mut statement = connection.prepare("SELECT id, record FROM network_cni")?;
        let rows = statement.query_map([], |row| Ok((record::text(row, 0)?, record::text(row, 1)?)))?;
        rows.collect()
    })
    .await
}

/// Writes it, over an older one.
pub(crate) async fn put(db: &Database, id: String, json: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction
            .prepare_cached("INSERT OR REPLACE INTO network_cni (id, record) VALUES (?1, ?2)")?
            .execute(params![id, json])?;
        Ok(())
    })
    .await
}

/// Forgets it.
pub(crate) async fn delete(db: &Database, id: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction.prepare_cached("DELETE FROM network_cni WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    })
    .await
}
