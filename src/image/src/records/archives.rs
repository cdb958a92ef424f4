//! Files of the import folder that were imported, so that nobody reads them twice.

use crate::digest::Digest;
use crate::model::ImageId;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Transaction};

pub(super) const SQL: &str =
    "CREATE TABLE archives (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, images TEXT NOT NULL);";

/// The images that a file with this stamp was found to have; `None` if it was not read, or is another one by now.
pub(crate) fn known(connection: &Connection, path: &str, stamp: &str) -> rusqlite::Result<Option<Vec<ImageId>>> {
    let sql = "SELECT images FROM archives WHERE path = ?1 AND stamp = ?2";
    let found: Option<String> = connection.query_row(sql, (path, stamp), |row| row.get(0)).optional()?;
    // What makes no sense is read again.
    Ok(found.and_then(|text| text.split_whitespace().map(|id| Digest::parse(id).map(ImageId)).collect()))
}

/// A file was imported.
pub(crate) fn insert(tx: &Transaction<'_>, path: &str, stamp: &str, images: &[ImageId]) -> rusqlite::Result<()> {
    let images: Vec<&str> = images.iter().map(ImageId::as_str).collect();
    tx.execute("INSERT OR REPLACE INTO archives VALUES (?1, ?2, ?3)", (path, stamp, images.join(" "))).map(drop)
}

/// Forgets all files but these.
pub(crate) fn retain(tx: &Transaction<'_>, paths: &[String]) -> rusqlite::Result<()> {
    let known: Vec<String> =
        tx.prepare("SELECT path FROM archives")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for path in known.iter().filter(|path| !paths.contains(path)) {
        tx.execute("DELETE FROM archives WHERE path = ?1", [path])?;
    }
    Ok(())
}
