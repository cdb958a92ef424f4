//! The records of attachments that plugins made. They hold the configuration as it was then, because by the time of the
//! end another one may be there, or none; and the result, which plugins want back.

use super::conflist::{Conflist, Object};
use crate::attachment::Attachment;
use peapod_store::rusqlite::params;
use peapod_store::{Database, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One attachment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) attachment: Attachment,
    pub(crate) conflist: Conflist,
    pub(crate) args: String,
    pub(crate) capabilities: Object,
    /// Absent until it is complete.
    pub(crate) result: Option<Value>,
    /// When it could not be taken away for the first time, in seconds since 1970.
    pub(crate) failing_since: Option<u64>,
}

/// Id and text of all.
pub(crate) async fn load(db: &Database) -> Result<Vec<(String, String)>, StoreError> {
    db.read(|connection| {
        let mut statement = connection.prepare("SELECT id, record FROM network_cni")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
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
pub(crate) async fn remove(db: &Database, id: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction.prepare_cached("DELETE FROM network_cni WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    })
    .await
}
