//! Rows that make no sense, whoever has written them: found at the start and deleted, so that nothing else has to doubt
//! what it reads. A row costs its own image, which can be pulled again, and nobody else theirs.

use super::{StoredConfig, unverified};
use crate::bounds::IMAGE_RECORD_BYTES;
use crate::digest::{Digest, chain_id};
use peapod_store::rusqlite::{self, Row, Transaction, types::ValueRef};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row that was deleted.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) table: &'static str,
    /// The beginning of its key.
    pub(crate) key: String,
    pub(crate) reason: &'static str,
}

/// What is wrong with a row.
type Sense<T> = Result<T, &'static str>;

/// Deletes all such rows.
pub(crate) fn delete(tx: &Transaction<'_>) -> rusqlite::Result<Vec<Deleted>> {
    let mut deleted = Vec::new();
    let chains = layers(tx, &mut deleted)?;
    let images = images(tx, &chains, &mut deleted)?;
    names(tx, &images, &mut deleted)?;
    leases(tx, &chains, &images, &mut deleted)?;
    marks(tx, &mut deleted)?;
    archives(tx, &mut deleted)?;
    Ok(deleted)
}

/// Looks at each row of a table; deletes it unless it makes sense. `columns`: the key first.
fn each(
    tx: &Transaction<'_>,
    table: &'static str,
    columns: &str,
    deleted: &mut Vec<Deleted>,
    mut look: impl FnMut(i64, &Row<'_>) -> Sense<()>,
) -> rusqlite::Result<()> {
    let mut statement = tx.prepare(&format!("SELECT {columns}, rowid FROM {table}"))?;
    let last = statement.column_count().saturating_sub(1);
    let (mut rows, mut bad) = (statement.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(last)?;
        if let Err(reason) = look(id, row) {
            bad.push((id, Deleted { table, key: key(row), reason }));
        }
    }
    for (id, row) in bad {
        delete_row(tx, table, id)?;
        deleted.push(row);
    }
    Ok(())
}

fn delete_row(tx: &Transaction<'_>, table: &str, id: i64) -> rusqlite::Result<()> {
    tx.execute(&format!("DELETE FROM {table} WHERE rowid = ?1"), [id]).map(drop)
}

fn key(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
            String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).escape_debug().collect()
        }
        other => format!("{other:?}"),
    }
}

/// The chains that are whole in the records. A chain's name is a digest of the names of its layer and of what is below:
/// one that has the right name can lead to no circle.
fn layers(tx: &Transaction<'_>, deleted: &mut Vec<Deleted>) -> rusqlite::Result<HashSet<Digest>> {
    let mut parents: HashMap<Digest, (i64, Option<Digest>)> = HashMap::new();
    let columns = "chain_id, parent, diff_id, short, bytes, inodes, state, print, lost_at";
    each(tx, "layers", columns, deleted, |id, row| {
        let (chain, parent, diff) = (digest(row, 0)?, optional(row, 1, digest)?, digest(row, 2)?);
        if chain_id(parent.as_ref(), &diff) != chain {
            return Err("it is not named after its layers");
        }
        is_short(text(row, 3)?).then_some(()).ok_or("its directory has no name of ours")?;
        natural(row, 4)?;
        natural(row, 5)?;
        (0..=unverified::LOST).contains(&natural(row, 6)?).then_some(()).ok_or("its state is none")?;
        optional(row, 7, text)?;
        optional(row, 8, natural)?;
        parents.insert(chain, (id, parent));
        Ok(())
    })?;
    // What lies on nothing is nothing; then what lies on that.
    loop {
        let is_lost = |parent: &Option<Digest>| parent.as_ref().is_some_and(|parent| !parents.contains_key(parent));
        let lost: Vec<Digest> =
            parents.iter().filter(|(_, (_, parent))| is_lost(parent)).map(|(chain, _)| chain.clone()).collect();
        if lost.is_empty() {
            return Ok(parents.into_keys().collect());
        }
        for chain in lost {
            if let Some((id, _)) = parents.remove(&chain) {
                delete_row(tx, "layers", id)?;
            }
            deleted.push(Deleted { table: "layers", key: chain.to_string(), reason: "there is no layer below it" });
        }
    }
}

/// The images that make sense, and on which chain each lies.
fn images(
    tx: &Transaction<'_>,
    chains: &HashSet<Digest>,
    deleted: &mut Vec<Deleted>,
) -> rusqlite::Result<HashMap<String, Option<Digest>>> {
    let mut images = HashMap::new();
    let bounded =
        |column: &str| format!("CASE WHEN length(CAST({column} AS BLOB)) <= {IMAGE_RECORD_BYTES} THEN {column} END");
    let (run, annotations) = (bounded("run"), bounded("annotations"));
    let columns = format!("id, chain_id, size, {run}, {annotations}, typeof(manifest), typeof(config)");
    each(tx, "images", &columns, deleted, |_, row| {
        let (id, chain) = (digest(row, 0)?, optional(row, 1, digest)?);
        if chain.as_ref().is_some_and(|chain| !chains.contains(chain)) {
            return Err("its layers are not recorded");
        }
        natural(row, 2)?;
        json::<StoredConfig>(row, 3)?;
        json::<BTreeMap<String, String>>(row, 4)?;
        if text(row, 5)? != "blob" || text(row, 6)? != "blob" {
            return Err("its documents are no bytes");
        }
        images.insert(id.to_string(), chain);
        Ok(())
    })?;
    Ok(images)
}

fn names(
    tx: &Transaction<'_>,
    images: &HashMap<String, Option<Digest>>,
    deleted: &mut Vec<Deleted>,
) -> rusqlite::Result<()> {
    each(tx, "names", "reference, image_id, digest, pinned", deleted, |_, row| {
        let name = text(row, 0)?;
        if name.is_empty() || name.len() > IMAGE_RECORD_BYTES || name.contains(|c: char| c.is_control() || c == ' ') {
            return Err("it is no name");
        }
        images.contains_key(text(row, 1)?).then_some(()).ok_or("its image is not recorded")?;
        (natural(row, 2)? <= 1).then_some(()).ok_or("it is neither tag nor digest")?;
        (natural(row, 3)? <= 1).then_some(()).ok_or("it is neither pinned nor not")
    })
}

/// A lease that tells its image or its chain, of two that belong together, tells enough: somebody runs on it.
fn leases(
    tx: &Transaction<'_>,
    chains: &HashSet<Digest>,
    images: &HashMap<String, Option<Digest>>,
    deleted: &mut Vec<Deleted>,
) -> rusqlite::Result<()> {
    let mut mended: Vec<(i64, String, Option<String>)> = Vec::new();
    each(tx, "leases", "holder, name, image_id, chain_id", deleted, |id, row| {
        text(row, 0).and_then(|_| text(row, 1))?;
        let image = digest(row, 2).map(|id| id.to_string());
        let chain = optional(row, 3, digest).ok().filter(|chain| chain.as_ref().is_none_or(|it| chains.contains(it)));
        match (image, chain) {
            // An image may be gone that somebody still runs on.
            (Ok(_), Some(_)) => return Ok(()),
            (Ok(image), None) => {
                let chain = images.get(&image).ok_or("neither its image nor its layers are recorded")?;
                mended.push((id, image, chain.as_ref().map(ToString::to_string)));
            }
            (Err(_), Some(chain)) => {
                let image = images.iter().find(|(_, of)| **of == chain).ok_or("its image is none")?.0;
                mended.push((id, image.clone(), chain.map(|chain| chain.to_string())));
            }
            (Err(reason), None) => return Err(reason),
        }
        Ok(())
    })?;
    let mut mend = tx.prepare("UPDATE leases SET image_id = ?2, chain_id = ?3 WHERE rowid = ?1")?;
    mended.into_iter().try_for_each(|row| mend.execute(row).map(drop))
}

fn marks(tx: &Transaction<'_>, deleted: &mut Vec<Deleted>) -> rusqlite::Result<()> {
    each(tx, "marks", "name, value", deleted, |_, row| text(row, 0).and_then(|_| text(row, 1)).map(drop))
}

fn archives(tx: &Transaction<'_>, deleted: &mut Vec<Deleted>) -> rusqlite::Result<()> {
    each(tx, "archives", "path, stamp, images", deleted, |_, row| {
        let texts = [text(row, 0)?, text(row, 1)?, text(row, 2)?];
        texts.iter().all(|text| text.len() <= IMAGE_RECORD_BYTES).then_some(()).ok_or("a column is too long")
    })
}

/// As [`crate::scratch::Scratch`] names directories.
fn is_short(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Sense<&'a str> {
    let value = row.get_ref(column).map_err(|_| "a column is missing")?;
    value.as_str().map_err(|_| "a column is no text")
}

fn natural(row: &Row<'_>, column: usize) -> Sense<i64> {
    let value = row.get_ref(column).map_err(|_| "a column is missing")?;
    value.as_i64().ok().filter(|number| *number >= 0).ok_or("a column is no natural number")
}

fn digest(row: &Row<'_>, column: usize) -> Sense<Digest> {
    Digest::parse(text(row, column)?).ok_or("a column is no digest")
}

fn optional<'a, 'r, T>(
    row: &'a Row<'r>,
    column: usize,
    read: impl FnOnce(&'a Row<'r>, usize) -> Sense<T>,
) -> Sense<Option<T>> {
    match row.get_ref(column) {
        Ok(ValueRef::Null) => Ok(None),
        _ => read(row, column).map(Some),
    }
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> Sense<T> {
    serde_json::from_str(text(row, column)?).map_err(|_| "a column is no such JSON")
}
