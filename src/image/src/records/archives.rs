//! Files of the import folder that were imported, so that nobody reads them twice, and so that none takes back a name
//! that has gone elsewhere since.

use crate::bounds::IMAGE_RECORD_BYTES;
use crate::digest::Digest;
use crate::model::ImageId;
use peapod_store::rusqlite::{self, Connection, OptionalExtension, Transaction};

pub(super) const SQL: &str =
    "CREATE TABLE archives (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, images TEXT NOT NULL);";

/// A line for each image, which has its names behind its id. Before, all ids stood on one line.
pub(super) const LINES: &str = "UPDATE archives SET images = replace(images, ' ', char(10));";

/// What an archive has: each image with the names that it is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ArchiveContents(pub(crate) Vec<(ImageId, Vec<String>)>);

/// A file that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArchiveRow {
    pub(crate) path: String,
    /// Of the file as it was then.
    pub(crate) stamp: String,
    pub(crate) contents: ArchiveContents,
}

impl ArchiveContents {
    /// Without the names if these would be too long: then they are looked for in the archive.
    fn to_text(&self) -> String {
        let line = |id: &ImageId, names: &[String]| {
            let words: Vec<&str> = std::iter::once(id.as_str()).chain(names.iter().map(String::as_str)).collect();
            words.join(" ")
        };
        let all: Vec<String> = self.0.iter().map(|(id, names)| line(id, names)).collect();
        match all.iter().map(|line| line.len() + 1).sum::<usize>() <= IMAGE_RECORD_BYTES {
            true => all.join("\n"),
            false => self.0.iter().map(|(id, _)| line(id, &[])).collect::<Vec<_>>().join("\n"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let image = |line: &str| {
            let mut words = line.split(' ');
            let id = words.next().and_then(Digest::parse).map(ImageId)?;
            Some((id, words.map(str::to_owned).collect()))
        };
        text.lines().map(image).collect::<Option<_>>().map(Self)
    }
}

/// What is known of the file at a path, which may be another one by now.
pub(crate) fn known(connection: &Connection, path: &str) -> rusqlite::Result<Option<ArchiveRow>> {
    let sql = "SELECT stamp, images FROM archives WHERE path = ?1";
    let found: Option<(String, String)> =
        connection.query_row(sql, [path], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    // What makes no sense is as good as nothing.
    let row = |(stamp, images): (String, String)| {
        let contents = ArchiveContents::parse(&images)?;
        Some(ArchiveRow { path: path.to_owned(), stamp, contents })
    };
    Ok(found.and_then(row))
}

/// A file was imported.
pub(crate) fn insert(tx: &Transaction<'_>, archive: &ArchiveRow) -> rusqlite::Result<()> {
    let ArchiveRow { path, stamp, contents } = archive;
    tx.execute("INSERT OR REPLACE INTO archives VALUES (?1, ?2, ?3)", (path, stamp, contents.to_text())).map(drop)
}

/// Forgets all files but these.
pub(crate) fn retain(tx: &Transaction<'_>, paths: &[String]) -> rusqlite::Result<()> {
    let known: Vec<String> =
        tx.prepare("SELECT path FROM archives")?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for path in known.iter().filter(|path| !paths.contains(path)) {
        tx.execute("DELETE FROM archives WHERE path = ?1", [path])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::MIGRATIONS;
    use super::*;

    #[test]
    fn an_archive_is_remembered_with_its_names_and_those_of_before_without() {
        let mut db = Connection::open_in_memory().unwrap();
        let (id, other) = (ImageId(Digest::of(b"1")), ImageId(Digest::of(b"2")));
        for migration in MIGRATIONS {
            if migration.sql == LINES {
                let old =
                    format!("INSERT INTO archives VALUES ('/old.tar', 'stamp', '{} {}')", id.as_str(), other.as_str());
                db.execute_batch(&old).unwrap();
            }
            db.execute_batch(migration.sql).unwrap();
        }
        let tx = db.transaction().unwrap();
        let row = |path: &str, contents: Vec<(ImageId, Vec<String>)>| ArchiveRow {
            path: path.to_owned(),
            stamp: "stamp".to_owned(),
            contents: ArchiveContents(contents),
        };
        let old = row("/old.tar", vec![(id.clone(), vec![]), (other.clone(), vec![])]);
        assert_eq!(known(&tx, "/old.tar").unwrap(), Some(old));
        let names = vec!["docker.io/library/a:1".to_owned(), "docker.io/library/a:2".to_owned()];
        for contents in [vec![], vec![(id.clone(), names), (other, vec![])]] {
            let new = row("/new.tar", contents);
            insert(&tx, &new).unwrap();
            assert_eq!(known(&tx, "/new.tar").unwrap(), Some(new));
        }
        let long: Vec<String> = (0..IMAGE_RECORD_BYTES / 100).map(|number| format!("a:{number:0100}")).collect();
        insert(&tx, &row("/new.tar", vec![(id.clone(), long)])).unwrap();
        assert_eq!(known(&tx, "/new.tar").unwrap(), Some(row("/new.tar", vec![(id, vec![])])));
        tx.execute_batch("UPDATE archives SET images = 'nonsense'").unwrap();
        assert_eq!(known(&tx, "/new.tar").unwrap(), None);
        retain(&tx, &["/old.tar".to_owned()]).unwrap();
        let left: i64 = tx.query_row("SELECT count(*) FROM archives", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 1);
    }
}
