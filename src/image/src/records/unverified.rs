//! Which layers are whole. When the node went down under a running daemon all of them are
//! unverified, until each was compared with its fingerprint.
//!
//! A lost layer keeps its row, so that the layers above and below it stay: the next pull brings that one alone. Its
//! images are not shown meanwhile, and are forgotten when nobody pulls them for a while.

use crate::digest::Digest;
use crate::model::ImageId;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Transaction};

/// What `layers.state` says.
pub(super) const LOST: i64 = 2;
const UNVERIFIED: i64 = 1;
const WHOLE: i64 = 0;

/// Which layers are to be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayersToVerify {
    /// Those of which nobody knows whether they are whole.
    Unverified,
    /// Those that are taken for whole.
    Whole,
}

impl LayersToVerify {
    fn state(self) -> i64 {
        match self {
            Self::Unverified => UNVERIFIED,
            Self::Whole => WHOLE,
        }
    }
}

/// The second migration of this crate.
pub(super) const SQL: &str = "
    ALTER TABLE layers ADD COLUMN print TEXT;
    ALTER TABLE layers ADD COLUMN state INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE layers ADD COLUMN lost_at INTEGER;
    CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    ";

/// Chains that begin on a lost layer or lie above one.
pub(super) const BROKEN: &str = "WITH RECURSIVE broken (chain) AS (
        SELECT chain_id FROM layers WHERE state = 2
        UNION SELECT layers.chain_id FROM layers JOIN broken ON layers.parent = broken.chain)";

/// A layer to be verified.
#[derive(Clone, Debug)]
pub(crate) struct Unverified {
    pub(crate) chain: Digest,
    pub(crate) short: String,
    /// What was found when it was made; none in records of before there were fingerprints.
    pub(crate) fingerprint: Option<String>,
    /// What was thought of it.
    pub(crate) which: LayersToVerify,
}

/// A daemon begins in this boot. If another one ran when the node went down, all layers are unverified. Answers how
/// many are.
pub(crate) fn begin(tx: &Transaction<'_>, boot_id: &str) -> rusqlite::Result<u64> {
    let running: Option<String> =
        tx.query_row("SELECT value FROM marks WHERE name = 'running'", [], |row| row.get(0)).optional()?;
    if running.is_some_and(|boot| boot != boot_id) {
        tx.execute("UPDATE layers SET state = ?1 WHERE state = ?2", (UNVERIFIED, WHOLE))?;
    }
    tx.execute("INSERT OR REPLACE INTO marks VALUES ('running', ?1)", [boot_id])?;
    tx.query_row("SELECT count(*) FROM layers WHERE state = ?1", [UNVERIFIED], |row| row.get::<_, i64>(0))
        .map(i64::cast_unsigned)
}

/// The daemon ends in order: what it recorded is on disk.
pub(crate) fn end(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM marks WHERE name = 'running'", []).map(drop)
}

/// All such layers.
pub(crate) fn all(connection: &Connection, which: LayersToVerify) -> rusqlite::Result<Vec<Unverified>> {
    let mut statement =
        connection.prepare("SELECT chain_id, short, print FROM layers WHERE state = ?1 ORDER BY rowid")?;
    read(&mut statement, which, [which.state()])
}

/// Those of an image.
pub(crate) fn of_image(
    connection: &Connection,
    which: LayersToVerify,
    image: &ImageId,
) -> rusqlite::Result<Vec<Unverified>> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE used (chain) AS (
            SELECT chain_id FROM images WHERE id = ?2
            UNION SELECT parent FROM layers JOIN used ON layers.chain_id = used.chain WHERE parent IS NOT NULL)
         SELECT chain_id, short, print FROM layers WHERE state = ?1 AND chain_id IN (SELECT chain FROM used)",
    )?;
    read(&mut statement, which, (which.state(), image.as_str()))
}

/// Those of these chains.
pub(crate) fn of_chains(
    connection: &Connection,
    which: LayersToVerify,
    chains: &[Digest],
) -> rusqlite::Result<Vec<Unverified>> {
    let mut statement =
        connection.prepare_cached("SELECT chain_id, short, print FROM layers WHERE chain_id = ?2 AND state = ?1")?;
    let mut found = Vec::new();
    for chain in chains {
        found.append(&mut read(&mut statement, which, (which.state(), chain.as_str()))?);
    }
    Ok(found)
}

fn read(
    statement: &mut rusqlite::Statement<'_>,
    which: LayersToVerify,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<Unverified>> {
    let rows = statement.query_map(parameters, |row| {
        Ok(Unverified { chain: super::digest(row, 0)?, short: row.get(1)?, fingerprint: row.get(2)?, which })
    })?;
    rows.collect()
}

/// A layer was verified. Nothing happens if it is another one by now.
pub(crate) fn verified(tx: &Transaction<'_>, unverified: &Unverified, whole: bool, now: i64) -> rusqlite::Result<()> {
    let (state, lost_at) = if whole { (WHOLE, None) } else { (LOST, Some(now)) };
    tx.prepare_cached("UPDATE layers SET state = ?1, lost_at = ?2 WHERE chain_id = ?3 AND short = ?4 AND state = ?5")?
        .execute((state, lost_at, unverified.chain.as_str(), &unverified.short, unverified.which.state()))
        .map(drop)
}

/// Whether a container may have this layer mounted.
pub(crate) fn is_used(connection: &Connection, chain: &Digest) -> rusqlite::Result<bool> {
    let query = "WITH RECURSIVE above (chain) AS (
            SELECT ?1 UNION SELECT layers.chain_id FROM layers JOIN above ON layers.parent = above.chain)
         SELECT count(*) FROM leases WHERE chain_id IN (SELECT chain FROM above)";
    connection.prepare_cached(query)?.query_row([chain.as_str()], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// How marks begin of directories that are damaged, and that containers of this boot use nevertheless.
const RETIRED: &str = "retired:";

/// Keeps a damaged directory until the node comes up again.
pub(crate) fn retire(tx: &Transaction<'_>, short: &str, boot_id: &str) -> rusqlite::Result<()> {
    tx.execute("INSERT OR REPLACE INTO marks VALUES (?1, ?2)", (format!("{RETIRED}{short}"), boot_id)).map(drop)
}

/// The directories that are kept so; those of another boot are forgotten.
pub(crate) fn retired(tx: &Transaction<'_>, boot_id: &str) -> rusqlite::Result<Vec<String>> {
    tx.execute("DELETE FROM marks WHERE substr(name, 1, 8) = ?1 AND value != ?2", (RETIRED, boot_id))?;
    tx.prepare("SELECT substr(name, 9) FROM marks WHERE substr(name, 1, 8) = ?1")?
        .query_map([RETIRED], |row| row.get(0))?
        .collect()
}

/// Whether the chain that ends with this layer has a lost one in it.
pub(crate) fn is_broken(connection: &Connection, chain: &str) -> rusqlite::Result<bool> {
    let query = format!("{BROKEN} SELECT count(*) FROM broken WHERE chain = ?1");
    connection.prepare_cached(&query)?.query_row([chain], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}

/// Forgets images that nobody pulled again since one of their layers was lost up to this moment.
pub(crate) fn forget_lost(tx: &Transaction<'_>, before: i64) -> rusqlite::Result<()> {
    let lost: i64 =
        tx.query_row("SELECT count(*) FROM layers WHERE state = ?1 AND lost_at <= ?2", [LOST, before], |row| {
            row.get(0)
        })?;
    if lost > 0 {
        tx.execute(&format!("{BROKEN} DELETE FROM images WHERE chain_id IN (SELECT chain FROM broken)"), [])?;
    }
    Ok(())
}
