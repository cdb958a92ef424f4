//! Each row is spoiled in turn, and costs its own image alone.

use super::nonsense;
use super::{
    ImageRow, LayerRow, MIGRATIONS, NameClaim, NameRow, ROOTFS, chains, configuration, directories, insert_image,
};
use super::{insert_layers, insert_lease, leases, load, name_image, present, sweep, unverified};
use crate::catalog::Catalog;
use crate::digest::Digest;
use crate::model::{ImageConfig, ImageId};
use peapod_store::rusqlite::{Connection, Transaction};

/// An image with two layers of its own, a tag and a lease. Its number is in all of them.
fn insert(tx: &Transaction<'_>, number: u8) -> ImageId {
    let diff_ids = vec![Digest::of(&[number, 0]), Digest::of(&[number, 1])];
    let chains = chains(&diff_ids);
    let layer = |index: usize| LayerRow {
        chain_id: chains[index].clone(),
        parent: index.checked_sub(1).map(|below| chains[below].clone()),
        diff_id: diff_ids[index].clone(),
        short: format!("{number:02x}000000000{index}"),
        bytes: 10,
        inodes: 1,
        fingerprint: "print".to_owned(),
    };
    let id = ImageId(Digest::of(&[number]));
    let image = ImageRow {
        id: id.clone(),
        diff_ids: diff_ids.clone(),
        run: ImageConfig::default(),
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        manifest: b"{}".to_vec(),
        config: b"{}".to_vec(),
    };
    insert_layers(tx, &[layer(0), layer(1)]).unwrap();
    insert_image(tx, &image).unwrap();
    let (reference, claim) = (format!("example.com/image:{number}"), NameClaim::Move);
    let name = NameRow { reference, is_digest: false, pin: false, claim };
    name_image(tx, &id, &[name]).unwrap();
    insert_lease(tx, &id, &format!("holder{number}"), ROOTFS).unwrap().unwrap();
    id
}

fn spoiled(sql: &str) -> (Connection, Vec<nonsense::Deleted>) {
    let mut db = Connection::open_in_memory().unwrap();
    for migration in MIGRATIONS {
        db.execute_batch(migration.sql).unwrap();
    }
    db.pragma_update(None, "foreign_keys", false).unwrap();
    let tx = db.transaction().unwrap();
    for number in [1, 2] {
        insert(&tx, number);
    }
    tx.execute_batch("INSERT INTO marks VALUES ('running', 'boot')").unwrap();
    tx.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    tx.commit().unwrap();
    db.pragma_update(None, "foreign_keys", true).unwrap();
    let tx = db.transaction().unwrap();
    let deleted = nonsense::delete(&tx).unwrap_or_else(|error| panic!("{sql}: {error}"));
    tx.commit().unwrap();
    (db, deleted)
}

/// Everything that a daemon does with records works, and the second image is whole.
fn works(mut db: Connection, sql: &str) -> usize {
    let tx = db.transaction().unwrap();
    let healthy = ImageId(Digest::of(&[2]));
    let catalog = load(&tx, &Catalog::default()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let image = catalog.by_id(&healthy).unwrap_or_else(|| panic!("{sql}: the other image is gone"));
    assert_eq!((image.repo_tags.len(), image.annotations.len()), (1, 1), "{sql}");
    assert_eq!(insert_lease(&tx, &healthy, "again", ROOTFS).unwrap().unwrap().len(), 2, "{sql}");
    for image in catalog.images.iter() {
        assert!(configuration(&tx, &image.id).unwrap().is_some(), "{sql}");
        insert_lease(&tx, &image.id, "any", ROOTFS).unwrap();
    }
    leases(&tx).unwrap();
    assert!(directories(&tx).unwrap().iter().all(|short| short.len() == 12), "{sql}");
    unverified::begin(&tx, "other boot").unwrap();
    unverified::all(&tx, unverified::LayersToVerify::Unverified).unwrap();
    unverified::retired(&tx, "boot").unwrap();
    present(&tx, &chains(&[Digest::of(&[2, 0]), Digest::of(&[2, 1])])).unwrap();
    sweep(&tx, |_| false).unwrap();
    // And what was lost can be pulled again.
    insert(&tx, 1);
    let again = load(&tx, &catalog).unwrap();
    assert_eq!(again.images.len(), 2, "{sql}");
    catalog.images.len()
}

#[test]
fn a_row_costs_its_own_image_alone() {
    let of_one = |column: &str, value: &str| {
        let chain = chains(&[Digest::of(&[1, 0])]).remove(0);
        format!("UPDATE layers SET {column} = {value} WHERE chain_id = '{chain}'")
    };
    let image =
        |column: &str, value: &str| format!("UPDATE images SET {column} = {value} WHERE id = '{}'", Digest::of(&[1]));
    let own = format!("'{}'", Digest::of(&[1, 0]));
    let other = format!("'{}'", chains(&[Digest::of(&[1, 0]), Digest::of(&[1, 1])])[1]);
    let lost = [
        of_one("chain_id", "'x'"),
        of_one("chain_id", "x'00'"),
        of_one("chain_id", "CAST(x'ff' AS TEXT)"),
        // Circles.
        of_one("parent", &own),
        of_one("parent", &other),
        of_one("parent", "7"),
        of_one("diff_id", "''"),
        of_one("diff_id", "NULL OR 1"),
        of_one("short", "'../../../../etc'"),
        of_one("short", "''"),
        of_one("short", "'empty'"),
        of_one("bytes", "'much'"),
        of_one("bytes", "-1"),
        of_one("inodes", "1.5"),
        of_one("state", "77"),
        of_one("state", "'whole'"),
        of_one("print", "x'00'"),
        of_one("lost_at", "'never'"),
        format!("DELETE FROM layers WHERE chain_id = {own}"),
        image("id", "'nobody'"),
        image("id", "upper(id)"),
        image("chain_id", "'x'"),
        image("chain_id", &format!("'{}'", Digest::of(b"nothing"))),
        image("size", "'big'"),
        image("run", "'{}'"),
        image("run", "'[]'"),
        image("run", "x'7b7d'"),
        image("run", "replace(hex(zeroblob(3000000)), '00', '[]')"),
        image("annotations", "'{\"a\": 1}'"),
        image("manifest", "'text'"),
        image("config", "5"),
    ];
    for sql in lost {
        let (db, deleted) = spoiled(&sql);
        assert!(!deleted.is_empty(), "{sql}");
        assert_eq!(works(db, &sql), 1, "{sql}");
    }
    let kept = [
        "UPDATE names SET reference = '' WHERE reference LIKE '%1'",
        "UPDATE names SET reference = x'00' WHERE reference LIKE '%1'",
        "UPDATE names SET reference = 'a' || char(10) WHERE reference LIKE '%1'",
        "UPDATE names SET image_id = 'nobody' WHERE reference LIKE '%1'",
        "UPDATE names SET digest = 'x' WHERE reference LIKE '%1'",
        "UPDATE leases SET holder = x'ff' WHERE holder = 'holder1'",
        "UPDATE leases SET name = x'ff' WHERE holder = 'holder1'",
        "UPDATE leases SET image_id = 'x', chain_id = 'y' WHERE holder = 'holder1'",
        "UPDATE marks SET value = x'00'",
        "UPDATE marks SET name = CAST(x'ff' AS TEXT)",
        "INSERT INTO marks VALUES ('retired:../../etc', 'boot')",
    ];
    for sql in kept {
        let (db, deleted) = spoiled(sql);
        assert_eq!(deleted.len(), usize::from(!sql.contains("retired")), "{sql}");
        assert_eq!(works(db, sql), 2, "{sql}");
    }
}

#[test]
fn a_lease_that_tells_one_of_two_is_mended() {
    for sql in [
        "UPDATE leases SET image_id = 'x' WHERE holder = 'holder1'",
        "UPDATE leases SET chain_id = 'x' WHERE holder = 'holder1'",
        "UPDATE leases SET chain_id = x'00' WHERE holder = 'holder1'",
    ] {
        let (db, deleted) = spoiled(sql);
        assert!(deleted.is_empty(), "{sql}: {deleted:?}");
        let all = leases(&db).unwrap();
        assert_eq!(all[0], ("holder1".to_owned(), ImageId(Digest::of(&[1]))), "{sql}");
        // Its layers stay when the image goes.
        let mut db = db;
        let tx = db.transaction().unwrap();
        super::delete_image(&tx, &all[0].1).unwrap();
        assert!(sweep(&tx, |_| false).unwrap().is_empty(), "{sql}");
    }
}

#[test]
fn what_makes_sense_stays() {
    let (db, deleted) = spoiled("SELECT 1");
    assert!(deleted.is_empty(), "{deleted:?}");
    assert_eq!(works(db, "nothing"), 2);
}
