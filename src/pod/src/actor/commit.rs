//! Rows, on their way to the disk.

use std::sync::Arc;

use peapod_store::Database;

use crate::error::Error;
use crate::machine::{Identity, Row};
use crate::record::{self, Write};
use crate::stage::timed;

/// Writes all of them, or none.
pub(super) async fn commit(db: Database, identity: Arc<Identity>, rows: Vec<Row>) -> Result<(), Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| Error::failed("record", error);
    let writes = rows.into_iter().map(|row| write(&identity, row)).collect::<Result<_, _>>();
    let writes = writes.map_err(|error: serde_json::Error| failed(&error))?;
    timed("commit", record::commit(&db, writes)).await.map_err(|error| failed(&error))
}

fn write(identity: &Identity, row: Row) -> Result<Write, serde_json::Error> {
    let pod = identity.id.clone();
    Ok(match row {
        Row::NoPod => Write::NoPod(pod),
        Row::NoContainer(id) => Write::NoContainer(id),
        Row::Pod(record) => Write::Pod {
            id: pod,
            spec: serde_json::to_string(&*identity.spec)?,
            state: serde_json::to_string(&record)?,
        },
        Row::Container(id, spec, record) => {
            Write::Container { id, pod, spec: serde_json::to_string(&*spec)?, state: serde_json::to_string(&record)? }
        }
    })
}
