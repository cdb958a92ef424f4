use super::{Database, Durability, Migration, OpenError, StoreError};
use std::os::unix::fs::PermissionsExt;

const ONE: Migration = Migration { owner: "pods", version: 1, sql: "CREATE TABLE pods (id TEXT PRIMARY KEY)" };
const TWO: Migration = Migration { owner: "pods", version: 2, sql: "ALTER TABLE pods ADD COLUMN name TEXT" };
const OTHER: Migration = Migration { owner: "network", version: 1, sql: "CREATE TABLE ips (ip TEXT)" };

#[tokio::test]
async fn a_write_is_read_back_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let db = Database::open(&path, Durability::Normal, &[ONE, OTHER]).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    db.write(|tx| tx.execute("INSERT INTO pods VALUES ('a')", []).map(drop)).await.unwrap();
    let count = |c: &rusqlite::Connection| c.query_row("SELECT count(*) FROM pods", [], |r| r.get::<_, i64>(0));
    assert_eq!(db.read(count).await.unwrap(), 1);
    drop(db);

    let db = Database::open(&path, Durability::Full, &[ONE, TWO, OTHER]).unwrap();
    db.write(|tx| tx.execute("INSERT INTO pods VALUES ('b', 'name')", []).map(drop)).await.unwrap();
    assert_eq!(db.read(count).await.unwrap(), 2);
}

#[tokio::test]
async fn it_counts_what_it_commits_and_what_it_rolls_back() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("state.db"), Durability::Normal, &[ONE]).unwrap();
    let insert = |tx: &rusqlite::Transaction<'_>| tx.execute("INSERT INTO pods VALUES ('a')", []).map(drop);
    db.write(insert).await.unwrap();
    db.write_lightly(insert).await.unwrap_err();
    let measures = db.clone().measures().clone();
    assert_eq!((measures.commits.read().count, measures.failures.get()), (1, 1));
    let (begun, wait) = std::sync::mpsc::channel();
    let (go_on, told) = std::sync::mpsc::channel::<()>();
    let write = db.write(move |_| {
        begun.send(()).unwrap();
        told.recv().unwrap();
        Ok(())
    });
    let look = async {
        tokio::task::spawn_blocking(move || wait.recv().unwrap()).await.unwrap();
        assert_eq!(measures.waiting.get(), 1);
        go_on.send(()).unwrap();
    };
    let (written, ()) = tokio::join!(write, look);
    written.unwrap();
    assert_eq!(measures.commits.read().count, 2);
}

#[tokio::test]
async fn a_failed_write_is_rolled_back_and_the_reader_can_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("state.db"), Durability::Normal, &[ONE]).unwrap();
    let error = db
        .write(|tx| {
            tx.execute("INSERT INTO pods VALUES ('a')", [])?;
            tx.execute("INSERT INTO pods VALUES ('a')", []).map(drop)
        })
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Sqlite { .. }), "{error}");
    assert!(!error.is_disk_full());
    let panicked = db.write::<(), _>(|_| panic!("a defect")).await.unwrap_err();
    assert!(matches!(panicked, StoreError::Panicked { .. }));
    let refused = db.read(|c| c.execute("INSERT INTO pods VALUES ('x')", [])).await.unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
    let count = db.read(|c| c.query_row("SELECT count(*) FROM pods", [], |r| r.get::<_, i64>(0))).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn each_write_is_as_durable_as_it_asks() {
    let dir = tempfile::tempdir().unwrap();
    let synchronous =
        |tx: &rusqlite::Transaction<'_>| tx.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0));
    for (durability, usual) in [(Durability::Full, 2), (Durability::Normal, 1)] {
        let db = Database::open(&dir.path().join(format!("{usual}.db")), durability, &[ONE]).unwrap();
        assert_eq!(db.write(synchronous).await.unwrap(), usual);
        assert_eq!(db.write_lightly(synchronous).await.unwrap(), 1);
        assert!(db.write_lightly::<(), _>(|_| panic!("a defect")).await.is_err());
        assert_eq!(db.write(synchronous).await.unwrap(), usual);
    }
}

#[tokio::test]
async fn a_dropped_future_does_not_take_its_write_back() {
    let dir = tempfile::tempdir().unwrap();
    let db = Database::open(&dir.path().join("state.db"), Durability::Normal, &[ONE]).unwrap();
    let (reached, go) = std::sync::mpsc::channel::<()>();
    let waiting = db.write(move |tx| {
        go.recv().ok();
        tx.execute("INSERT INTO pods VALUES ('a')", []).map(drop)
    });
    // Polled until the work is queued, then dropped while it runs.
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), waiting).await.is_err());
    reached.send(()).unwrap();
    let count = db.write(|tx| tx.query_row("SELECT count(*) FROM pods", [], |r| r.get::<_, i64>(0))).await.unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    drop(Database::open(&path, Durability::Normal, &[ONE, TWO]).unwrap());
    let error = Database::open(&path, Durability::Normal, &[ONE]).unwrap_err();
    assert!(matches!(&error, OpenError::Newer { owner, found: 2, known: 1, .. } if owner == "pods"), "{error}");
}

#[test]
fn a_failed_migration_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let bad = Migration { owner: "pods", version: 2, sql: "ALTER TABLE nothing ADD COLUMN x" };
    let error = Database::open(&path, Durability::Normal, &[ONE, bad]).unwrap_err();
    assert!(matches!(error, OpenError::Migration { version: 2, .. }), "{error}");
    drop(Database::open(&path, Durability::Normal, &[ONE, TWO]).unwrap());
    let gap = Migration { owner: "gap", version: 2, sql: "" };
    assert!(matches!(Database::open(&path, Durability::Normal, &[gap]), Err(OpenError::Numbering { .. })));
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    std::fs::write(&path, vec![b'x'; 8192]).unwrap();
    assert!(matches!(Database::open(&path, Durability::Normal, &[ONE]), Err(OpenError::Sqlite { .. })));
    let nowhere = dir.path().join("missing/state.db");
    assert!(matches!(Database::open(&nowhere, Durability::Normal, &[ONE]), Err(OpenError::Create { .. })));
}
