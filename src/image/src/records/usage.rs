//! What layers there are, and which image lies on which.

use peapod_store::rusqlite::{self, Connection};

/// A layer, and who holds it beside images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// Of its directory.
    pub name: String,
    /// On disk.
    pub bytes: u64,
    /// Made by it.
    pub inodes: u64,
    /// Who has a lease on a chain that it is in, and runs on.
    pub holders: Vec<String>,
}

/// All layers that are not lost, the largest first.
pub(crate) fn layer_uses(connection: &Connection) -> rusqlite::Result<Vec<LayerUse>> {
    let mut held: std::collections::HashMap<String, Vec<String>> = std::collections::HashMap::new();
    let mut statement = connection.prepare(
        "WITH RECURSIVE used (holder, chain) AS (
            SELECT holder, chain_id FROM leases WHERE chain_id IS NOT NULL
            UNION SELECT holder, parent FROM layers JOIN used ON layers.chain_id = used.chain WHERE parent IS NOT NULL)
         SELECT short, holder FROM used JOIN layers ON layers.chain_id = used.chain ORDER BY holder",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        held.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    let sql = "SELECT short, bytes, inodes FROM layers WHERE state != 2 ORDER BY bytes DESC, short";
    let layer = |row: &rusqlite::Row<'_>| {
        let name: String = row.get(0)?;
        let (bytes, inodes) = (row.get::<_, i64>(1)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
        Ok(LayerUse { holders: held.remove(&name).unwrap_or_default(), name, bytes, inodes })
    };
    connection.prepare(sql)?.query_map([], layer)?.collect()
}

/// Each image with the directories of its layers, lowest first.
pub(crate) fn image_layers(connection: &Connection) -> rusqlite::Result<Vec<(String, Vec<String>)>> {
    let mut statement = connection.prepare(
        "WITH RECURSIVE used (image, chain, depth) AS (
            SELECT id, chain_id, 0 FROM images WHERE chain_id IS NOT NULL
            UNION SELECT image, parent, depth + 1 FROM layers JOIN used ON layers.chain_id = used.chain
            WHERE parent IS NOT NULL)
         SELECT image, short FROM used JOIN layers ON layers.chain_id = used.chain ORDER BY image, depth DESC",
    )?;
    let mut images: Vec<(String, Vec<String>)> = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (image, layer): (String, String) = (row.get(0)?, row.get(1)?);
        match images.last_mut() {
            Some((last, layers)) if *last == image => layers.push(layer),
            _ => images.push((image, vec![layer])),
        }
    }
    Ok(images)
}
