//! Names that lead to images.

use crate::bounds::IMAGE_NAMES;
use crate::model::ImageId;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Transaction};
use std::collections::HashMap;

/// A name that leads to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameRow {
    /// `name:tag` or `name@digest`.
    pub(crate) reference: String,
    pub(crate) is_digest: bool,
    /// Its image is to be pinned under it; one that is pinned stays so in any case.
    pub(crate) pin: bool,
    pub(crate) claim: NameClaim,
}

/// What becomes of a name that leads to another image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameClaim {
    /// It leads to this one from now on, and leaves the other.
    Move,
    /// It stays where it is.
    IfFree,
}

/// Makes `names` lead to an image, as far as they may. Does nothing if the image is gone.
pub(crate) fn name_image(tx: &Transaction<'_>, image: &ImageId, names: &[NameRow]) -> rusqlite::Result<()> {
    let found: Option<i64> =
        tx.query_row("SELECT 1 FROM images WHERE id = ?1", [image.as_str()], |row| row.get(0)).optional()?;
    if found.is_none() {
        return Ok(());
    }
    for name in names {
        let named = match name.claim {
            NameClaim::Move => {
                "INSERT OR REPLACE INTO names (reference, image_id, digest, pinned) VALUES (?1, ?2, ?3,
                 ?4 OR coalesce((SELECT pinned FROM names WHERE reference = ?1), 0))"
            }
            NameClaim::IfFree => {
                "INSERT INTO names (reference, image_id, digest, pinned) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (reference) DO UPDATE SET pinned = pinned OR excluded.pinned
                 WHERE image_id = excluded.image_id"
            }
        };
        tx.prepare_cached(named)?.execute((&name.reference, image.as_str(), name.is_digest, name.pin))?;
    }
    // Of too many the oldest go, and what somebody pinned goes last.
    let old = "DELETE FROM names WHERE image_id = ?1 AND rowid NOT IN
         (SELECT rowid FROM names WHERE image_id = ?1 ORDER BY pinned DESC, rowid DESC LIMIT ?2)";
    tx.prepare_cached(old)?.execute((image.as_str(), i64::try_from(IMAGE_NAMES).unwrap_or(i64::MAX))).map(drop)
}

/// Takes a tag from an image that has others; says whether it did. With the last tag of its repository the digests in
/// that go as well.
pub(crate) fn untag(tx: &Transaction<'_>, image: &ImageId, (tag, repository): (&str, &str)) -> rusqlite::Result<bool> {
    let others = "EXISTS (SELECT 1 FROM names WHERE image_id = ?1 AND digest = 0 AND reference != ?2)";
    let own = format!("DELETE FROM names WHERE image_id = ?1 AND reference = ?2 AND digest = 0 AND {others}");
    if tx.execute(&own, (image.as_str(), tag))? == 0 {
        return Ok(false);
    }
    let digests = "DELETE FROM names WHERE image_id = ?1 AND digest = 1 AND instr(reference, ?2 || '@') = 1
         AND NOT EXISTS (SELECT 1 FROM names WHERE image_id = ?1 AND digest = 0 AND instr(reference, ?2 || ':') = 1)";
    tx.execute(digests, (image.as_str(), repository)).map(|_| true)
}

/// Those of the names that lead somewhere, be it to an image with a lost layer, and where.
pub(crate) fn taken(connection: &Connection, names: &[String]) -> rusqlite::Result<HashMap<String, ImageId>> {
    let mut statement = connection.prepare_cached("SELECT image_id FROM names WHERE reference = ?1")?;
    let mut taken = HashMap::new();
    for name in names {
        let image = statement.query_row([name], |row| super::image_id(row, 0)).optional()?;
        taken.extend(image.map(|image| (name.clone(), image)));
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::super::{ImageRow, MIGRATIONS, insert_image, pins};
    use super::*;
    use crate::digest::Digest;
    use crate::model::ImageConfig;

    fn records(images: u8) -> (Connection, Vec<ImageId>) {
        let mut db = Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            db.execute_batch(migration.sql).unwrap();
        }
        let tx = db.transaction().unwrap();
        let ids: Vec<ImageId> = (0..images).map(|number| ImageId(Digest::of(&[number]))).collect();
        for id in &ids {
            let (run, annotations) = (ImageConfig::default(), std::collections::BTreeMap::new());
            let (manifest, config) = (b"{}".to_vec(), b"{}".to_vec());
            insert_image(&tx, &ImageRow { id: id.clone(), diff_ids: vec![], run, annotations, manifest, config })
                .unwrap();
        }
        tx.commit().unwrap();
        (db, ids)
    }

    fn row(reference: &str, pin: bool, claim: NameClaim) -> NameRow {
        NameRow { reference: reference.to_owned(), is_digest: false, pin, claim }
    }

    fn of(tx: &Transaction<'_>, image: &ImageId) -> Vec<(String, bool)> {
        let sql = "SELECT reference, pinned FROM names WHERE image_id = ?1 ORDER BY reference";
        let mut statement = tx.prepare(sql).unwrap();
        statement
            .query_map([image.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn of_too_many_names_the_oldest_go_and_pinned_ones_last() {
        let (mut db, ids) = records(1);
        let tx = db.transaction().unwrap();
        let names: Vec<NameRow> =
            (0..IMAGE_NAMES).map(|number| row(&format!("a:{number:03}"), number == 1, NameClaim::Move)).collect();
        name_image(&tx, &ids[0], &names).unwrap();
        assert_eq!(of(&tx, &ids[0]).len(), IMAGE_NAMES);
        for number in 0..IMAGE_NAMES + 5 {
            name_image(&tx, &ids[0], &[row(&format!("b:{number:03}"), false, NameClaim::Move)]).unwrap();
        }
        let left = of(&tx, &ids[0]);
        assert_eq!(left.len(), IMAGE_NAMES);
        assert_eq!(left[0], ("a:001".to_owned(), true), "the one that is pinned");
        assert_eq!(left[1].0, "b:006", "and the newest of the others");
        // Were all of them pinned, it is their age that counts.
        pins::pin(&tx, &ids[0], None).unwrap();
        name_image(&tx, &ids[0], &[row("c", true, NameClaim::Move)]).unwrap();
        assert!(!of(&tx, &ids[0]).iter().any(|(name, _)| name == "a:001"));
    }

    #[test]
    fn one_of_several_tags_can_be_taken_away() {
        let (mut db, ids) = records(1);
        let tx = db.transaction().unwrap();
        let digest = |reference: &str| NameRow { is_digest: true, ..row(reference, false, NameClaim::Move) };
        let tags = ["x.io/a:1", "x.io/a:2", "x.io/ab:1"].map(|tag| row(tag, true, NameClaim::Move));
        let digests = ["x.io/a@sha256:00", "x.io/ab@sha256:00"].map(digest);
        name_image(&tx, &ids[0], &[&tags[..], &digests].concat()).unwrap();
        let left = || of(&tx, &ids[0]).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(!untag(&tx, &ids[0], ("x.io/a@sha256:00", "x.io/a")).unwrap(), "no tag");
        assert!(!untag(&tx, &ids[0], ("x.io/none:1", "x.io/none")).unwrap());
        assert!(untag(&tx, &ids[0], ("x.io/a:1", "x.io/a")).unwrap());
        assert_eq!(left(), ["x.io/a:2", "x.io/a@sha256:00", "x.io/ab:1", "x.io/ab@sha256:00"]);
        assert!(untag(&tx, &ids[0], ("x.io/a:2", "x.io/a")).unwrap());
        assert_eq!(left(), ["x.io/ab:1", "x.io/ab@sha256:00"]);
        assert!(!untag(&tx, &ids[0], ("x.io/ab:1", "x.io/ab")).unwrap(), "the only one");
        assert_eq!(left().len(), 2);
    }

    #[test]
    fn a_name_moves_or_stays_by_its_claim() {
        let (mut db, ids) = records(2);
        let tx = db.transaction().unwrap();
        name_image(&tx, &ids[0], &[row("a", true, NameClaim::Move), row("b", false, NameClaim::IfFree)]).unwrap();
        name_image(&tx, &ids[1], &[row("a", false, NameClaim::IfFree), row("c", false, NameClaim::IfFree)]).unwrap();
        assert_eq!(of(&tx, &ids[0]), [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!(of(&tx, &ids[1]), [("c".to_owned(), false)]);
        name_image(&tx, &ids[0], &[row("b", true, NameClaim::IfFree)]).unwrap();
        name_image(&tx, &ids[1], &[row("a", false, NameClaim::Move)]).unwrap();
        assert_eq!(of(&tx, &ids[0]), [("b".to_owned(), true)], "its own it may pin");
        assert_eq!(of(&tx, &ids[1])[0], ("a".to_owned(), true), "the pin stays with the name");
        let asked = ["a", "b", "none"].map(str::to_owned);
        let taken = taken(&tx, &asked).unwrap();
        assert_eq!((taken.len(), taken.get("a"), taken.get("b")), (2, Some(&ids[1]), Some(&ids[0])));
        // No image, no name.
        name_image(&tx, &ImageId(Digest::of(b"none")), &[row("d", false, NameClaim::Move)]).unwrap();
        assert!(!taken.contains_key("d"));
    }
}
