//! The tables of `image.db`, and every statement on them.
//!
//! One transaction makes images visible, with their layers and whatever came with them; one takes an image away. A
//! layer whose row is missing does not exist, whatever is on disk.

pub(crate) mod archives;
pub(crate) mod leases;
pub(crate) mod names;
pub(crate) mod nonsense;
#[cfg(test)]
mod nonsense_tests;
pub(crate) mod pins;
mod published;
pub(crate) mod unverified;
mod usage;

pub(crate) use leases::{ROOTFS, delete_leases, holders, insert_lease, leases};
pub(crate) use names::{NameClaim, NameRow, name_image};
pub(crate) use published::ImageRecords;
pub use usage::LayerUse;
pub(crate) use usage::{image_layers, layer_uses};

use crate::catalog::Catalog;
use crate::digest::{Digest, chain_id};
use crate::model::{Image, ImageConfig, ImageId};
use peapod_store::Migration;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Row, Transaction, types::Type};
use std::collections::{BTreeMap, HashMap};

/// The tables of this crate, for [`peapod_store::Database::open`].
pub const MIGRATIONS: &[Migration] = &[
    Migration { owner: "image", version: 1, sql: FIRST },
    Migration { owner: "image", version: 2, sql: unverified::SQL },
    Migration { owner: "image", version: 3, sql: BOUNDED },
    Migration { owner: "image", version: 4, sql: pins::SQL },
    Migration { owner: "image", version: 5, sql: archives::SQL },
    Migration { owner: "image", version: 6, sql: archives::LINES },
    Migration { owner: "image", version: 7, sql: leases::SQL },
];

const FIRST: &str = "
    CREATE TABLE layers (
        chain_id TEXT PRIMARY KEY,
        parent TEXT,
        diff_id TEXT NOT NULL,
        short TEXT NOT NULL UNIQUE,
        bytes INTEGER NOT NULL,
        inodes INTEGER NOT NULL
    );
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        chain_id TEXT,
        size INTEGER NOT NULL,
        run TEXT NOT NULL,
        annotations TEXT NOT NULL,
        manifest BLOB NOT NULL,
        config BLOB NOT NULL
    );
    CREATE TABLE names (
        reference TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
        digest INTEGER NOT NULL
    );
    CREATE INDEX names_image ON names (image_id);
    CREATE TABLE leases (holder TEXT PRIMARY KEY, image_id TEXT NOT NULL, chain_id TEXT);
    ";

/// What earlier versions recorded without a bound: labels and annotations that are for show alone, and images that no
/// kernel could run.
const BOUNDED: &str = "
    UPDATE images SET run = json_set(run, '$.labels', json('{}')) WHERE length(run) > 65536;
    UPDATE images SET annotations = '{}' WHERE length(annotations) > 16384;
    DELETE FROM images WHERE length(run) > 1048576;
    ";

/// A layer to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct LayerRow {
    pub(crate) chain_id: Digest,
    pub(crate) parent: Option<Digest>,
    pub(crate) diff_id: Digest,
    pub(crate) short: String,
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
    /// See [`crate::unpack::fingerprint`].
    pub(crate) fingerprint: String,
}

/// An image to be recorded.
#[derive(Clone, Debug)]
pub(crate) struct ImageRow {
    pub(crate) id: ImageId,
    pub(crate) diff_ids: Vec<Digest>,
    pub(crate) run: ImageConfig,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
}

/// Records layers that were made for images. Of a chain that another pull recorded first, that record stays; one that
/// is lost is replaced.
pub(crate) fn insert_layers(tx: &Transaction<'_>, layers: &[LayerRow]) -> rusqlite::Result<()> {
    for layer in layers {
        let upsert = "INSERT INTO layers (chain_id, parent, diff_id, short, bytes, inodes, print)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (chain_id) DO UPDATE SET short = excluded.short,
             bytes = excluded.bytes, inodes = excluded.inodes, print = excluded.print, state = 0, lost_at = NULL
             WHERE state = ?8";
        tx.prepare_cached(upsert)?.execute((
            layer.chain_id.as_str(),
            layer.parent.as_ref().map(Digest::as_str),
            layer.diff_id.as_str(),
            &layer.short,
            layer.bytes.cast_signed(),
            layer.inodes.cast_signed(),
            &layer.fingerprint,
            unverified::LOST,
        ))?;
    }
    Ok(())
}

/// Records an image whose layers are recorded; one that is known stays as it is.
pub(crate) fn insert_image(tx: &Transaction<'_>, image: &ImageRow) -> rusqlite::Result<()> {
    let chain = chains(&image.diff_ids).pop();
    let mut size = (image.manifest.len() + image.config.len()) as u64;
    for (_, bytes) in walk(tx, chain.as_ref())? {
        size = size.saturating_add(bytes);
    }
    tx.execute(
        "INSERT OR IGNORE INTO images VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        (
            image.id.as_str(),
            chain.as_ref().map(Digest::as_str),
            size.cast_signed(),
            json(&StoredConfig::from(&image.run))?,
            json(&image.annotations)?,
            &image.manifest,
            &image.config,
        ),
    )?;
    Ok(())
}

/// Takes an image away with all its names.
pub(crate) fn delete_image(tx: &Transaction<'_>, image: &ImageId) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM images WHERE id = ?1", [image.as_str()]).map(drop)
}

/// The image's configuration, as its registry served it.
pub(crate) fn configuration(connection: &Connection, image: &ImageId) -> rusqlite::Result<Option<Vec<u8>>> {
    let sql = "SELECT config FROM images WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([image.as_str()], |row| row.get(0)).optional()
}

/// Layers whose directories are not there any more are lost, whatever was thought of them.
pub(crate) fn lose(tx: &Transaction<'_>, shorts: &[String], now: i64) -> rusqlite::Result<()> {
    let lost = "UPDATE layers SET state = ?1, lost_at = ?2 WHERE short = ?3 AND state != ?1";
    let mut statement = tx.prepare_cached(lost)?;
    shorts.iter().try_for_each(|short| statement.execute((unverified::LOST, now, short)).map(drop))
}

/// Which of these chains exist, and in which directory. A lost one does not.
pub(crate) fn present(connection: &Connection, chains: &[Digest]) -> rusqlite::Result<HashMap<Digest, String>> {
    let mut statement = connection.prepare_cached("SELECT short FROM layers WHERE chain_id = ?1 AND state != 2")?;
    let mut found = HashMap::new();
    for chain in chains {
        let short: Option<String> = statement.query_row([chain.as_str()], |row| row.get(0)).optional()?;
        found.extend(short.map(|short| (chain.clone(), short)));
    }
    Ok(found)
}

/// The directories of all layers that are not lost.
pub(crate) fn directories(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection.prepare("SELECT short FROM layers WHERE state != 2")?.query_map([], |row| row.get(0))?.collect()
}

/// Deletes the rows of layers that no image, no lease and no pull needs; answers with their directories.
pub(crate) fn sweep(tx: &Transaction<'_>, held: impl Fn(&Digest) -> bool) -> rusqlite::Result<Vec<String>> {
    let unused: Vec<(String, String)> = tx
        .prepare(
            "WITH RECURSIVE used (chain) AS (
                SELECT chain_id FROM images WHERE chain_id IS NOT NULL
                UNION SELECT chain_id FROM leases WHERE chain_id IS NOT NULL
                UNION SELECT parent FROM layers JOIN used ON layers.chain_id = used.chain WHERE parent IS NOT NULL)
             SELECT chain_id, short FROM layers WHERE chain_id NOT IN (SELECT chain FROM used)",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut gone = Vec::new();
    for (chain, short) in unused {
        if Digest::parse(&chain).is_some_and(|chain| held(&chain)) {
            continue;
        }
        tx.prepare_cached("DELETE FROM layers WHERE chain_id = ?1")?.execute([&chain])?;
        gone.push(short);
    }
    Ok(gone)
}

#[derive(Default)]
struct ImageNames {
    tags: Vec<String>,
    digests: Vec<String>,
    pinned: bool,
}

/// Everything that lists and statuses show. An image with a lost layer is not here. What `before` has of an image,
/// whose id names its content, is not read again.
fn load(connection: &Connection, before: &Catalog) -> rusqlite::Result<Catalog> {
    let mut names: HashMap<String, ImageNames> = HashMap::new();
    let mut statement =
        connection.prepare_cached("SELECT image_id, reference, digest, pinned FROM names ORDER BY reference")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let of_image = names.entry(row.get(0)?).or_default();
        let same_kind = if row.get(2)? { &mut of_image.digests } else { &mut of_image.tags };
        same_kind.push(row.get(1)?);
        of_image.pinned |= row.get::<_, bool>(3)?;
    }
    let query = format!(
        "{} SELECT id, size, run, annotations FROM images
         WHERE chain_id IS NULL OR chain_id NOT IN (SELECT chain FROM broken) ORDER BY rowid",
        unverified::BROKEN
    );
    let mut statement = connection.prepare_cached(&query)?;
    let images = statement
        .query_map([], |row| {
            let id = image_id(row, 0)?;
            let ImageNames { tags, digests, pinned } = names.remove(id.as_str()).unwrap_or_default();
            let (config, annotations) = match before.by_id(&id) {
                Some(known) => (known.config.clone(), known.annotations.clone()),
                None => (read_json::<StoredConfig>(row, 2)?.into(), read_json(row, 3)?),
            };
            Ok(Image {
                id,
                repo_tags: tags,
                repo_digests: digests,
                size: row.get::<_, i64>(1)?.cast_unsigned().max(1),
                config,
                annotations,
                pinned,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let (bytes, inodes): (i64, i64) = connection.query_row(
        "SELECT coalesce(sum(bytes), 0), coalesce(sum(inodes), 0) FROM layers WHERE state != 2",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(Catalog::new(images, bytes.cast_unsigned(), inodes.cast_unsigned()))
}

/// The chain ids of layers in order, lowest first.
pub(crate) fn chains(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chains.push(chain_id(chains.last(), diff_id));
    }
    chains
}

/// Directories and sizes of a chain, top layer first.
fn walk(tx: &Transaction<'_>, top: Option<&Digest>) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = tx.prepare_cached("SELECT short, bytes, parent FROM layers WHERE chain_id = ?1")?;
    let mut next = top.map(ToString::to_string);
    let mut found = Vec::new();
    while let Some(chain) = next.take() {
        let (short, bytes, parent): (String, i64, Option<String>) =
            statement.query_row([&chain], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        found.push((short, bytes.cast_unsigned()));
        next = parent;
    }
    Ok(found)
}

fn image_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ImageId> {
    let text: String = row.get(column)?;
    ImageId::parse(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("image id {text:?}").into())
    })
}

fn digest(row: &Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    let text: String = row.get(column)?;
    Digest::parse(&text)
        .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, format!("digest {text:?}").into()))
}

/// The run part of a configuration, as JSON in a column.
#[derive(serde::Serialize, serde::Deserialize)]
struct StoredConfig {
    user: String,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    working_dir: String,
    stop_signal: Option<String>,
    labels: BTreeMap<String, String>,
    volumes: Vec<String>,
    /// Rows of earlier releases have no artifacts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    artifact_type: String,
}

impl From<&ImageConfig> for StoredConfig {
    fn from(config: &ImageConfig) -> Self {
        let config = config.clone();
        let ImageConfig { user, entrypoint, cmd, env, working_dir, stop_signal, labels, volumes, artifact_type } =
            config;
        Self { user, entrypoint, cmd, env, working_dir, stop_signal, labels, volumes, artifact_type }
    }
}

impl From<StoredConfig> for ImageConfig {
    fn from(stored: StoredConfig) -> Self {
        let StoredConfig { user, entrypoint, cmd, env, working_dir, stop_signal, labels, volumes, artifact_type } =
            stored;
        Self { user, entrypoint, cmd, env, working_dir, stop_signal, labels, volumes, artifact_type }
    }
}

fn json<T: serde::Serialize>(value: &T) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn read_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}
