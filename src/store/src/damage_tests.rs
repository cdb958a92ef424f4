//! Databases in any bad state.

use super::{Database, Durability, Migration, OpenError, SetAside, kept};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const ID: i32 = 0x7065_7401;
const ONE: Migration =
    Migration { owner: "pods", version: 1, sql: "CREATE TABLE pods (id TEXT PRIMARY KEY, body TEXT)" };
const TWO: Migration = Migration { owner: "pods", version: 2, sql: "ALTER TABLE pods ADD COLUMN name TEXT" };

fn open(path: &Path) -> Result<(Database, Option<SetAside>), OpenError> {
    Database::open_or_begin(path, ID, Durability::Normal, &[ONE])
}

async fn count(database: &Database) -> i64 {
    database.read(|c| c.query_row("SELECT count(*) FROM pods", [], |row| row.get(0))).await.unwrap()
}

/// A database of some pages with a hundred rows, all of it in the file itself.
async fn filled(path: &Path) {
    let (database, aside) = open(path).unwrap();
    assert_eq!(aside, None);
    let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO pods SELECT i, hex(zeroblob(500)) FROM n";
    database.write(|tx| tx.execute(fill, []).map(drop)).await.unwrap();
    close(database, path);
    checkpoint(path);
}

/// Lets go of a database, and waits until its threads have.
fn close(database: Database, path: &Path) {
    drop(database);
    let is_open = |path: &Path| {
        let mut files = fs::read_dir("/proc/self/fd").unwrap().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
    };
    let began = std::time::Instant::now();
    while is_open(path) {
        assert!(began.elapsed().as_secs() < 60, "still open");
        std::thread::yield_now();
    }
}

fn checkpoint(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
}

fn sidecar(path: &Path, suffix: &str) -> PathBuf {
    path.with_file_name(format!("state.db{suffix}"))
}

#[tokio::test]
async fn what_is_no_database_is_set_aside_and_an_empty_one_begins() {
    type Poison = (&'static str, fn(&Path));
    let poisons: &[Poison] = &[
        ("no database", |path| fs::write(path, vec![b'x'; 8192]).unwrap()),
        ("a cut one", |path| {
            let length = path.metadata().unwrap().len();
            File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        }),
        ("no bytes", |path| fs::write(path, "").unwrap()),
        ("one byte", |path| fs::write(path, "x").unwrap()),
        ("a page of zeros", |path| {
            use std::os::unix::fs::FileExt;
            File::options().write(true).open(path).unwrap().write_all_at(&[0; 4096], 8192).unwrap();
        }),
        ("a folder", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir_all(path.join("with/something")).unwrap();
        }),
        ("a link to nowhere", |path| {
            fs::remove_file(path).unwrap();
            symlink("/nowhere/at/all", path).unwrap();
        }),
        ("a link to itself", |path| {
            fs::remove_file(path).unwrap();
            symlink(path, path).unwrap();
        }),
        ("a device", |path| {
            fs::remove_file(path).unwrap();
            symlink("/dev/null", path).unwrap();
        }),
        ("another program's", |path| {
            let connection = rusqlite::Connection::open(path).unwrap();
            connection.pragma_update(None, "application_id", 77).unwrap();
        }),
        ("another database's journal", |path| {
            let other = path.with_file_name("other.db");
            let connection = rusqlite::Connection::open(&other).unwrap();
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
            connection.pragma_update(None, "application_id", 78).unwrap();
            connection.execute_batch("CREATE TABLE pods (x); INSERT INTO pods VALUES (1)").unwrap();
            fs::copy(path.with_file_name("other.db-wal"), sidecar(path, "-wal")).unwrap();
            fs::copy(path.with_file_name("other.db-shm"), sidecar(path, "-shm")).unwrap();
        }),
    ];
    for (name, poison) in poisons {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        filled(&path).await;
        poison(&path);
        let (database, aside) = open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let aside = aside.unwrap_or_else(|| panic!("{name}: not said"));
        assert_eq!(count(&database).await, 0, "{name}");
        assert_eq!(kept(&path).unwrap(), std::slice::from_ref(&aside.kept), "{name}");
        assert!(aside.kept.symlink_metadata().is_ok() && !aside.reason.is_empty(), "{name}");
        database.write(|tx| tx.execute("INSERT INTO pods VALUES ('a', 'b')", []).map(drop)).await.unwrap();
        close(database, &path);
        let (database, aside) = open(&path).unwrap();
        assert_eq!((count(&database).await, aside), (1, None), "{name}");
    }
}

#[tokio::test]
async fn sidecars_that_are_none_cost_no_more_than_what_was_in_them() {
    for suffix in ["-wal", "-shm"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        filled(&path).await;
        let sidecar = sidecar(&path, suffix);
        let _ = fs::remove_file(&sidecar);
        fs::create_dir(&sidecar).unwrap();
        let (database, aside) = open(&path).unwrap();
        assert_eq!((count(&database).await, aside), (100, None), "{suffix}");
        close(database, &path);
        fs::write(&sidecar, vec![b'x'; 100_000]).unwrap();
        let (database, aside) = open(&path).unwrap();
        assert_eq!((count(&database).await, aside), (100, None), "{suffix}");
    }
}

#[tokio::test]
async fn a_journal_without_its_database_is_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let (database, _) = open(&path).unwrap();
    database.write(|tx| tx.execute("INSERT INTO pods VALUES ('a', 'b')", []).map(drop)).await.unwrap();
    close(database, &path);
    fs::remove_file(&path).unwrap();
    let (database, _) = open(&path).unwrap();
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn what_is_whole_is_never_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    filled(&path).await;
    close(Database::open_or_begin(&path, ID, Durability::Normal, &[ONE, TWO]).unwrap().0, &path);
    let newer = open(&path).unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: 2, known: 1, .. }), "{newer}");
    let bad = Migration { owner: "pods", version: 3, sql: "ALTER TABLE nothing ADD COLUMN x" };
    let failed = Database::open_or_begin(&path, ID, Durability::Normal, &[ONE, TWO, bad]).unwrap_err();
    assert!(matches!(failed, OpenError::Migration { version: 3, .. }), "{failed}");
    assert!(kept(&path).unwrap().is_empty());
    // One of before there were ids, kept elsewhere.
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    rusqlite::Connection::open(&elsewhere).unwrap().pragma_update(None, "application_id", 0).unwrap();
    let (database, aside) = Database::open_or_begin(&path, ID, Durability::Normal, &[ONE, TWO]).unwrap();
    assert_eq!((count(&database).await, aside), (100, None));
}

#[test]
fn errors_of_the_disk_are_no_damage() {
    use rusqlite::ffi;
    let of = |code: i32| OpenError::Sqlite {
        path: "state.db".into(),
        source: rusqlite::Error::SqliteFailure(ffi::Error::new(code), None),
    };
    for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB] {
        assert!(of(code).is_damage(), "{code}");
    }
    let others = [ffi::SQLITE_IOERR, ffi::SQLITE_IOERR_READ, ffi::SQLITE_IOERR_CORRUPTFS, ffi::SQLITE_FULL];
    for code in others.into_iter().chain([ffi::SQLITE_READONLY, ffi::SQLITE_CANTOPEN, ffi::SQLITE_BUSY]) {
        assert!(!of(code).is_damage(), "{code}");
    }
}

#[tokio::test]
async fn no_more_than_a_few_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.db");
    let mut all = Vec::new();
    for number in 0..6 {
        if path.exists() {
            checkpoint(&path);
        }
        fs::write(&path, format!("{number}")).unwrap();
        let (database, aside) = open(&path).unwrap();
        all.push(aside.unwrap().kept);
        close(database, &path);
    }
    all.sort();
    assert_eq!(kept(&path).unwrap(), all[3..]);
    assert_eq!(fs::read(&all[5]).unwrap(), b"5");
}
