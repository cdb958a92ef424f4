//! The records in the database: one row for each attachment, written before anything exists that could leak.

use crate::attachment::Attachment;
use peapod_store::rusqlite::{self, OptionalExtension, params};
use peapod_store::{Database, Migration, StoreError};
use serde::{Deserialize, Serialize};

/// The tables of this crate. Pass them to [`Database::open`].
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        owner: "network",
        version: 1,
        sql: "CREATE TABLE network_attachments (
              id TEXT PRIMARY KEY,
              complete INTEGER NOT NULL,
              record TEXT NOT NULL
          ) STRICT;
          CREATE TABLE network_cursor (
              only INTEGER PRIMARY KEY CHECK (only = 0),
              slot INTEGER NOT NULL
          ) STRICT;",
    },
    Migration {
        owner: "network",
        version: 2,
        sql: "CREATE TABLE network_cni (
              id TEXT PRIMARY KEY,
              record TEXT NOT NULL
          ) STRICT;",
    },
];

/// All that is needed to take an attachment away, whatever the settings are by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttachmentRecord {
    pub(crate) attachment: Attachment,
    /// The bridge it hangs on, and the table that has its ports.
    pub(crate) bridge: String,
    /// The number of its addresses within the subnets.
    #[serde(rename = "slot")]
    pub(crate) host_index: u32,
    /// How the other pods are reached from its namespace.
    #[serde(default)]
    pub(crate) layout: SubnetLayout,
}

/// How a pod's namespace reaches the others of its subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubnetLayout {
    /// They are on its link, and it looks for them there: pods that were made before there was another layout.
    #[default]
    Shared,
    /// They are behind the gateway, as is everything else.
    Routed,
}

/// Why a record is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("it is about something else: '{0}' at {1}")]
    Foreign(String, std::path::PathBuf),
}

/// An error unless what the record leads to is this attachment's own: what stands there is unmounted and removed.
pub(crate) fn check(id: &str, attachment: &Attachment) -> Result<(), RecordError> {
    let Attachment { id: named, netns, .. } = attachment;
    let own = netns.is_absolute() && netns.file_name().is_some_and(|name| name == pin_name(id).as_str());
    if named == id && own { Ok(()) } else { Err(RecordError::Foreign(named.clone(), netns.clone())) }
}

/// The file that holds the namespace of this attachment, in the directory of all.
pub(crate) fn pin_name(id: &str) -> String {
    format!("peapod-{id}")
}

impl AttachmentRecord {
    pub(crate) fn parse(id: &str, text: &str) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_str(text)?;
        check(id, &record.attachment)?;
        Ok(record)
    }
}

/// A row as it was found.
pub(crate) struct AttachmentRow {
    pub(crate) id: String,
    pub(crate) complete: bool,
    pub(crate) record: String,
}

/// A column's text. What is no UTF-8 any more is read all the same: it is one attachment's trouble.
pub(crate) fn text(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_bytes()?).into_owned())
}

/// All rows, and the host_index that was given last.
pub(crate) async fn load(db: &Database) -> Result<(Vec<AttachmentRow>, Option<u32>), StoreError> {
    db.read(|connection| {
        let cursor = connection.query_row("SELECT slot FROM network_cursor", [], |row| row.get(0)).optional()?;
        // It only says where to begin.
        let cursor = cursor.and_then(|host_index: i64| u32::try_from(host_index).ok());
        let mut statement = connection.prepare("SELECT id, complete, record FROM network_attachments")?;
        let rows = statement
            .query_map([], |row| Ok(AttachmentRow { id: text(row, 0)?, complete: row.get(1)?, record: text(row, 2)? }))?
            .collect::<Result<_, _>>()?;
        Ok((rows, cursor))
    })
    .await
}

/// Says what is going to be made.
pub(crate) async fn begin(db: &Database, id: String, host_index: u32, json: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction
            .prepare_cached("INSERT INTO network_attachments (id, complete, record) VALUES (?1, 0, ?2)")?
            .execute(params![id, json])?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO network_cursor (only, slot) VALUES (0, ?1)")?
            .execute(params![host_index])?;
        Ok(())
    })
    .await
}

/// Says that it was made.
pub(crate) async fn complete(db: &Database, id: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction
            .prepare_cached("UPDATE network_attachments SET complete = 1 WHERE id = ?1")?
            .execute(params![id])?;
        Ok(())
    })
    .await
}

/// Forgets it.
pub(crate) async fn delete(db: &Database, id: String) -> Result<(), StoreError> {
    db.write(move |transaction| {
        transaction.prepare_cached("DELETE FROM network_attachments WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    })
    .await
}
