//! Names that hold their images against garbage collection. A pin stays with its name: what a pull or an import puts
//! under that is pinned, and what was there before is not any more.

use crate::model::ImageId;
use peapod_store::rusqlite::{self, Transaction};

pub(super) const SQL: &str = "ALTER TABLE names ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;";

/// Pins one name, or all that an image has. Says whether there is any.
pub(crate) fn pin(tx: &Transaction<'_>, image: &ImageId, name: Option<&str>) -> rusqlite::Result<bool> {
    let sql = "UPDATE names SET pinned = 1 WHERE image_id = ?1 AND (?2 IS NULL OR reference = ?2)";
    Ok(tx.execute(sql, (image.as_str(), name))? > 0)
}

/// No name of an image holds it any more.
pub(crate) fn unpin(tx: &Transaction<'_>, image: &ImageId) -> rusqlite::Result<()> {
    tx.execute("UPDATE names SET pinned = 0 WHERE image_id = ?1", [image.as_str()]).map(drop)
}
