//! Who uses an image's layers, and as what: such layers stay when the image is gone.

use super::{image_id, unverified, walk};
use crate::digest::Digest;
use crate::model::ImageId;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Transaction};

/// The name of the lease of a root file system.
pub(crate) const ROOTFS: &str = "rootfs";

/// A holder once had one lease, which was that of its root file system. What is nonsense is left behind: a daemon that
/// does not start for it would help nobody.
pub(super) const SQL: &str = "
    CREATE TABLE named_leases (
        holder TEXT NOT NULL,
        name TEXT NOT NULL,
        image_id TEXT NOT NULL,
        chain_id TEXT,
        PRIMARY KEY (holder, name)
    );
    INSERT OR IGNORE INTO named_leases SELECT holder, 'rootfs', image_id, chain_id FROM leases
        WHERE holder IS NOT NULL AND image_id IS NOT NULL;
    DROP TABLE leases;
    ALTER TABLE named_leases RENAME TO leases;
    ";

/// Records that `holder` uses the image's layers as what `name` says. Answers with their directories, top layer first;
/// `None` if neither the image nor such a lease exists.
pub(crate) fn insert_lease(
    tx: &Transaction<'_>,
    image: &ImageId,
    holder: &str,
    name: &str,
) -> rusqlite::Result<Option<Vec<String>>> {
    let chain = |sql: &str, parameters: &[&str]| -> rusqlite::Result<Option<Option<String>>> {
        tx.query_row(sql, rusqlite::params_from_iter(parameters), |row| row.get(0)).optional()
    };
    let found = match chain("SELECT chain_id FROM images WHERE id = ?1", &[image.as_str()])? {
        Some(found) => found,
        // A retry after the image was removed: what the holder has it keeps.
        None => {
            let own = "SELECT chain_id FROM leases WHERE image_id = ?1 AND holder = ?2 AND name = ?3";
            match chain(own, &[image.as_str(), holder, name])? {
                Some(found) => found,
                None => return Ok(None),
            }
        }
    };
    if let Some(chain) = &found
        && unverified::is_broken(tx, chain)?
    {
        return Ok(None);
    }
    // A start asks again for what its creation leased: nothing changes then, and nothing has to be brought to disk.
    let upsert = "INSERT INTO leases (holder, name, image_id, chain_id) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (holder, name) DO UPDATE SET image_id = excluded.image_id, chain_id = excluded.chain_id \
         WHERE image_id != excluded.image_id OR chain_id IS NOT excluded.chain_id";
    tx.execute(upsert, (holder, name, image.as_str(), &found))?;
    let top = found.as_deref().and_then(Digest::parse);
    Ok(Some(walk(tx, top.as_ref())?.into_iter().map(|(short, _)| short).collect()))
}

/// Forgets all leases of a holder; true if there was one.
pub(crate) fn delete_leases(tx: &Transaction<'_>, holder: &str) -> rusqlite::Result<bool> {
    Ok(tx.execute("DELETE FROM leases WHERE holder = ?1", [holder])? > 0)
}

/// Who has a lease on an image.
pub(crate) fn holders(connection: &Connection, image: &ImageId) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT DISTINCT holder FROM leases WHERE image_id = ?1 ORDER BY holder";
    connection.prepare_cached(sql)?.query_map([image.as_str()], |row| row.get(0))?.collect()
}

/// Every holder with each of its images, once.
pub(crate) fn leases(connection: &Connection) -> rusqlite::Result<Vec<(String, ImageId)>> {
    let mut statement = connection.prepare("SELECT DISTINCT holder, image_id FROM leases ORDER BY holder, image_id")?;
    statement.query_map([], |row| Ok((row.get(0)?, image_id(row, 1)?)))?.collect()
}
