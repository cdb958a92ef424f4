//! Reading the records at the start. One that can't be read costs nobody but its own pod: it is set aside.

use peapod_cgroup::CgroupDriver;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_store::rusqlite::{Connection, Row, Transaction};
use peapod_store::{Database, StoreError, rusqlite};

use crate::bounds::{RECORD_BYTES, RECORDS_SET_ASIDE};
use crate::clock;
use crate::defaults::PodDefaults;
use crate::id::{ContainerId, PodId};
use crate::parent_kind::ParentKind;
use crate::record::{ContainerRecord, PodCgroup, PodPhase, PodRecord};

/// A pod as it was recorded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) id: PodId,
    pub(crate) spec: PodSpec,
    pub(crate) state: PodRecord,
    pub(crate) containers: Vec<(ContainerId, ContainerSpec, ContainerRecord)>,
    /// Containers whose records can't be read: what runs of them is ended.
    pub(crate) strays: Vec<ContainerId>,
    /// It was written in another boot.
    pub(crate) rebooted: bool,
}

/// Everything that is recorded.
#[derive(Debug, Default)]
pub(crate) struct LoadedRecords {
    pub(crate) pods: Vec<Loaded>,
    /// Pods whose records can't be read, with the cgroups of those of their containers whose records can.
    pub(crate) lost: Vec<(PodId, Vec<String>)>,
    /// How many records can't be read.
    pub(crate) set_aside: u64,
}

/// A record that can't be read.
#[derive(Debug)]
struct Unreadable {
    table: &'static str,
    id: Vec<u8>,
    reason: String,
}

/// A row as it is: nothing about its columns is taken for granted.
struct RawRow {
    id: Vec<u8>,
    /// Of a container.
    pod: Vec<u8>,
    /// None: more than [`RECORD_BYTES`].
    spec: Option<Vec<u8>>,
    state: Option<Vec<u8>>,
}

impl RawRow {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let bytes = |index| -> rusqlite::Result<Option<Vec<u8>>> {
            let value = row.get_ref(index)?;
            Ok(value.as_bytes_or_null().ok().flatten().map(<[u8]>::to_vec))
        };
        Ok(Self {
            id: bytes(0)?.unwrap_or_default(),
            pod: bytes(1)?.unwrap_or_default(),
            spec: bytes(2)?,
            state: bytes(3)?,
        })
    }

    fn id_text(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    fn spec<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        decode("spec", self.spec.as_deref())
    }

    fn state<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        decode("state", self.state.as_deref())
    }
}

fn decode<T: serde::de::DeserializeOwned>(column: &str, bytes: Option<&[u8]>) -> Result<T, String> {
    let bytes = bytes.ok_or_else(|| format!("column {column}: more than {RECORD_BYTES} bytes"))?;
    serde_json::from_slice(bytes).map_err(|error| format!("column {column}: {error}"))
}

/// Reads everything, and sets aside what can't be read.
pub(crate) async fn load(db: &Database, defaults: &PodDefaults) -> Result<LoadedRecords, StoreError> {
    let (pods, containers) =
        db.read(|db| Ok((rows(db, "pods", "NULL", None)?, rows(db, "containers", "pod", None)?))).await?;
    let (mut records, unreadable) = sort_out(pods, containers, defaults);
    records.set_aside = u64::try_from(unreadable.len()).unwrap_or(u64::MAX);
    if !unreadable.is_empty() {
        for record in &unreadable {
            tracing::error!(
                table = record.table,
                id = %String::from_utf8_lossy(&record.id[..record.id.len().min(64)]),
                reason = record.reason,
                "a record can't be read: what it led to is ended, and the record is kept in table unreadable of state.db, \
                 where it can be looked at and deleted"
            );
        }
        if let Err(error) = db.write(move |tx| set_aside(tx, &unreadable)).await {
            tracing::error!(%error, "records that can't be read stay where they are; the next start tries again");
        }
    }
    Ok(records)
}

/// One pod; none if it is not recorded, or unreadable: the next start says so.
pub(crate) async fn load_one(db: &Database, id: &PodId, defaults: &PodDefaults) -> Result<Option<Loaded>, StoreError> {
    let id = id.clone();
    let (pods, containers) = db
        .read(move |db| {
            Ok((rows(db, "pods", "NULL", Some(("id", &id)))?, rows(db, "containers", "pod", Some(("pod", &id)))?))
        })
        .await?;
    Ok(sort_out(pods, containers, defaults).0.pods.pop())
}

/// All rows of a table, or those with that id in a column.
fn rows(db: &Connection, table: &str, pod: &str, only: Option<(&str, &PodId)>) -> rusqlite::Result<Vec<RawRow>> {
    let bounded = |column: &str| {
        format!("CASE WHEN length(CAST({column} AS BLOB)) <= {RECORD_BYTES} THEN CAST({column} AS BLOB) END")
    };
    let mut sql = format!("SELECT id, {pod}, {}, {} FROM {table}", bounded("spec"), bounded("state"));
    match only {
        None => db.prepare(&sql)?.query_map([], RawRow::of)?.collect(),
        Some((column, id)) => {
            sql.push_str(&format!(" WHERE {column} = ?1"));
            db.prepare(&sql)?.query_map([id.as_str()], RawRow::of)?.collect()
        }
    }
}

fn sort_out(pods: Vec<RawRow>, containers: Vec<RawRow>, defaults: &PodDefaults) -> (LoadedRecords, Vec<Unreadable>) {
    let (mut records, mut unreadable) = (LoadedRecords::default(), Vec::new());
    let mut of_pods = std::collections::HashMap::<Vec<u8>, Vec<RawRow>>::new();
    for container in containers {
        of_pods.entry(container.pod.clone()).or_default().push(container);
    }
    for row in pods {
        let containers = of_pods.remove(&row.id).unwrap_or_default();
        match pod(&row, defaults) {
            Ok(mut loaded) => {
                for row in &containers {
                    match container(row, &loaded.state.cgroup) {
                        Ok(container) => loaded.containers.push(container),
                        Err(reason) => {
                            loaded.strays.extend(ContainerId::parse(row.id_text()));
                            unreadable.push(Unreadable { table: "containers", id: row.id.clone(), reason });
                        }
                    }
                }
                records.pods.push(loaded);
            }
            Err(reason) => {
                if let Some(id) = PodId::parse(row.id_text()) {
                    records.lost.push((id, groups(&containers)));
                }
                let without = "its pod's record can't be read".to_owned();
                unreadable.extend(containers.into_iter().map(|row| row.unreadable("containers", without.clone())));
                unreadable.push(row.unreadable("pods", reason));
            }
        }
    }
    for (pod, containers) in of_pods {
        if let Some(id) = PodId::parse(&String::from_utf8_lossy(&pod)) {
            records.lost.push((id, groups(&containers)));
        }
        let without = "its pod has no record".to_owned();
        unreadable.extend(containers.into_iter().map(|row| row.unreadable("containers", without.clone())));
    }
    (records, unreadable)
}

impl RawRow {
    fn unreadable(self, table: &'static str, reason: String) -> Unreadable {
        Unreadable { table, id: self.id, reason }
    }
}

/// A pod without its containers. Of one whose state alone is lost the rest is enough to end it in order.
fn pod(row: &RawRow, defaults: &PodDefaults) -> Result<Loaded, String> {
    let id = PodId::parse(row.id_text()).ok_or("column id: no id of a pod")?;
    let spec: PodSpec = row.spec()?;
    let mut state = row.state().unwrap_or_else(|reason: String| {
        tracing::error!(
            pod = id.short(),
            reason,
            "the state of a pod can't be read: the pod is not ready, and is ended"
        );
        PodRecord {
            phase: PodPhase::Broken,
            created_at: clock::now(),
            boot_id: defaults.boot_id.clone(),
            socket: defaults.layout.socket(&id),
            shim_pid: 0,
            attached: true,
            ips: Vec::new(),
            netns: None,
            last_event: 0,
            cgroup: defaults.cgroup_of(&id, &spec).unwrap_or_else(|_| defaults.cgroup.clone()),
            categories: None,
        }
    });
    if state.cgroup.parent.is_empty() {
        // Written before there was a choice.
        let default = || CgroupDriver::Cgroupfs.default_parent().to_owned();
        state.cgroup.parent = spec.cgroup_parent.clone().unwrap_or_else(default);
    }
    if spec.cgroup_parent.is_some() {
        // Written before that was recorded, too.
        state.cgroup.kind = ParentKind::Given;
    }
    Ok(Loaded { id, spec, state, containers: Vec::new(), strays: Vec::new(), rebooted: false })
}

fn container(row: &RawRow, pod: &PodCgroup) -> Result<(ContainerId, ContainerSpec, ContainerRecord), String> {
    let id = ContainerId::parse(row.id_text()).ok_or("column id: no id of a container")?;
    let state: ContainerRecord = row.state()?;
    // What runs in there is killed one day.
    if state.cgroup != pod.group(&id) {
        return Err(format!("column state: cgroup {:.100} is not the container's", state.cgroup));
    }
    Ok((id, row.spec()?, state))
}

/// The cgroups of containers that still tell, if they are their own.
fn groups(containers: &[RawRow]) -> Vec<String> {
    let group = |row: &RawRow| {
        let state: ContainerRecord = row.state().ok()?;
        let (id, name) = (ContainerId::parse(row.id_text())?, state.cgroup.rsplit('/').next()?);
        peapod_cgroup::id_of(name, |_| true).filter(|found| *found == id.as_str())?;
        Some(state.cgroup)
    };
    containers.iter().filter_map(group).collect()
}

/// The row with that id, found by the table's key, be it text as in all rows of ours or bytes: there may be thousands.
const BY_ID: &str = "WHERE id IN (CAST(?1 AS TEXT), ?1)";

/// Moves records out of the way; of those that were moved before, the oldest go.
fn set_aside(tx: &Transaction<'_>, records: &[Unreadable]) -> rusqlite::Result<()> {
    for Unreadable { table, id, reason } in records {
        let pod = if *table == "containers" { "pod" } else { "NULL" };
        tx.execute(
            &format!(
                "INSERT INTO unreadable (at, table_name, id, pod, spec, state, reason)
                 SELECT ?2, '{table}', CAST(id AS BLOB), CAST({pod} AS BLOB), CAST(spec AS BLOB), CAST(state AS BLOB), ?3
                 FROM {table} {BY_ID}"
            ),
            (id, clock::now(), reason),
        )?;
        tx.execute(&format!("DELETE FROM {table} {BY_ID}"), [id])?;
    }
    tx.execute(
        "DELETE FROM unreadable WHERE number NOT IN (SELECT number FROM unreadable ORDER BY number DESC LIMIT ?1)",
        [RECORDS_SET_ASIDE],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MIGRATIONS;

    fn tables() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|migration| db.execute_batch(migration.sql).unwrap());
        db
    }

    #[test]
    fn records_are_found_by_the_key() {
        let db = tables();
        for table in ["pods", "containers"] {
            let sql = format!("EXPLAIN QUERY PLAN DELETE FROM {table} {BY_ID}");
            let plan: String = db.query_row(&sql, [b"id".as_slice()], |row| row.get("detail")).unwrap();
            assert!(plan.starts_with("SEARCH") && plan.contains("PRIMARY KEY"), "{plan}");
        }
    }

    #[test]
    fn whatever_their_id_is_records_are_moved() {
        let mut db = tables();
        let ids: [&[u8]; 4] = [b"text", b"", b"no text: \xff\0", b"other"];
        for id in ids {
            db.execute("INSERT INTO pods VALUES (CAST(?1 AS TEXT), 'spec', 'state')", [id]).unwrap();
        }
        let unreadable = |id: &[u8]| Unreadable { table: "pods", id: id.to_vec(), reason: "why".to_owned() };
        let tx = db.transaction().unwrap();
        set_aside(&tx, &ids[..3].iter().map(|id| unreadable(id)).collect::<Vec<_>>()).unwrap();
        tx.commit().unwrap();
        let left: Vec<String> =
            db.prepare("SELECT id FROM pods").unwrap().query_map([], |row| row.get(0)).unwrap().flatten().collect();
        assert_eq!(left, ["other"]);
        let mut moved = db.prepare("SELECT id, spec, reason FROM unreadable ORDER BY number").unwrap();
        let moved = moved.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let moved: Vec<(Vec<u8>, Vec<u8>, String)> = moved.map(Result::unwrap).collect();
        assert_eq!(
            moved,
            ids[..3].iter().map(|id| (id.to_vec(), b"spec".to_vec(), "why".to_owned())).collect::<Vec<_>>()
        );
    }
}
