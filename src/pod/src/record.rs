//! Records of pods and containers in state.db: what must be known about them after the daemon died.
//!
//! A row has the request, which never changes but for limits, and the state, which does. Both are JSON,
//! so that any sqlite tool shows them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_cgroup::{CgroupDriver, ScopePrefix};
use peapod_spec::container::{ContainerSpec, Resources};
use peapod_spec::pod::PodSpec;
use peapod_spec::{Categories, ImageDefaults, StartAdjustment, UserIds};
use peapod_store::rusqlite::Transaction;
use peapod_store::{Database, Migration, StoreError, rusqlite};
use serde::{Deserialize, Serialize};

use crate::id::{ContainerId, PodId};
use crate::parent_kind::ParentKind;

/// This crate's tables in state.db.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        owner: "pod",
        version: 1,
        sql: "
        CREATE TABLE pods (
            id    TEXT PRIMARY KEY,
            spec  TEXT NOT NULL,
            state TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE containers (
            id    TEXT PRIMARY KEY,
            pod   TEXT NOT NULL,
            spec  TEXT NOT NULL,
            state TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX containers_of_pod ON containers(pod);
    ",
    },
    Migration {
        owner: "pod",
        version: 2,
        // Records that could not be read, as they were: nothing in there means anything to peapod.
        sql: "
        CREATE TABLE unreadable (
            number     INTEGER PRIMARY KEY,
            at         INTEGER NOT NULL,
            table_name TEXT NOT NULL,
            id         BLOB,
            pod        BLOB,
            spec       BLOB,
            state      BLOB,
            reason     TEXT NOT NULL
        ) STRICT;
    ",
    },
];

/// What changes about a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodRecord {
    pub(crate) phase: PodPhase,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    /// The boot in which its processes live.
    pub(crate) boot_id: String,
    /// Where its shim listens.
    pub(crate) socket: PathBuf,
    /// 0 before the shim was started and after it ended.
    pub(crate) shim_pid: u32,
    /// Has, or may have, an attachment to a network that must be given back.
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) netns: Option<PathBuf>,
    /// The last of the shim's events that is recorded here.
    pub(crate) last_event: u64,
    /// As it was when the pod was made, whatever the daemon is told today.
    #[serde(default)]
    pub(crate) cgroup: PodCgroup,
    /// SELinux categories of its containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) categories: Option<Categories>,
}

/// Where a pod's containers have their cgroups, and who makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodCgroup {
    pub(crate) driver: CgroupDriver,
    /// A path of a group.
    pub(crate) parent: String,
    /// Whose it is. Records of earlier releases say it only by what their pods asked for.
    #[serde(default)]
    pub(crate) kind: ParentKind,
    /// Of the names of scopes.
    #[serde(default = "ScopePrefix::first")]
    pub(crate) scope_prefix: ScopePrefix,
}

impl PodCgroup {
    /// The path of the pod's own group, if it has one.
    pub(crate) fn own(&self) -> Option<&str> {
        match self.kind {
            ParentKind::Own => Some(&self.parent),
            ParentKind::Shared | ParentKind::Given => None,
        }
    }

    /// The path of a container's group.
    pub(crate) fn group(&self, id: &ContainerId) -> String {
        self.driver.group(&self.parent, &self.scope_prefix, id.as_str())
    }
}

/// Phase of a pod's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PodPhase {
    /// Being made: after a crash it is taken back.
    Setup,
    /// Its infrastructure lives.
    Ready,
    /// It does not, but what it holds may not all be given back yet.
    Broken,
    /// Stopped; only files are left.
    Stopped,
}

/// What a container's configuration was made from, beside what its client asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MadeFrom {
    /// What it takes from its image, which may be removed before it starts. Records of earlier releases have none.
    #[serde(default)]
    pub(crate) image: Option<ImageDefaults>,
    /// What plugins made of it, if they did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adjusted: Option<Box<RecordedAdjustment>>,
}

/// What plugins made of a container, as far as it matters later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordedAdjustment {
    /// The limits that its client asked for.
    pub(crate) asked: Resources,
    /// Those that it was made with.
    pub(crate) given: Resources,
    /// What is said again at its start.
    pub(crate) at_start: StartAdjustment,
}

/// What changes about a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) phase: ContainerPhase,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    #[serde(flatten)]
    pub(crate) origin: ContainerOrigin,
    #[serde(flatten)]
    pub(crate) made_from: MadeFrom,
    pub(crate) user: UserIds,
    pub(crate) stop_signal: i32,
    pub(crate) cgroup: String,
    /// When the shim kills it, CLOCK_BOOTTIME in nanoseconds.
    pub(crate) stop_deadline: Option<i64>,
    /// The shim, the OCI runtime, the cgroup or the mount table may still hold something of it.
    #[serde(rename = "held")]
    pub(crate) needs_cleanup: bool,
    /// Images of its mounts, in the order of these. Records of earlier releases have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) image_mounts: Vec<ImageMount>,
}

/// What a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerOrigin {
    pub(crate) image_id: String,
    pub(crate) image_name: String,
    pub(crate) image_ref: String,
    /// A checkpoint lies over the image.
    #[serde(default, rename = "restored", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_restored: bool,
}

/// Which image a mount shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMount {
    /// The mount's place in the request.
    pub mount: usize,
    /// `sha256:…`, whatever the request called it.
    pub image_id: String,
}

/// Phase of a container's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerPhase {
    /// No process yet.
    Created,
    /// Being started: after a crash the shim knows how far it came.
    Starting,
    /// Its process runs.
    Running {
        pid: u32,
        started_at: i64,
        /// Limits that are being set: whether they are in force is known only when this is not here any more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updating: Option<Box<Resources>>,
    },
    /// It ended.
    Exited(Ended),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) started_at: i64,
    pub(crate) finished_at: i64,
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Ended {
    /// The same of a container of which is recorded when it was started. The shim's own time is a little later.
    pub(crate) fn since(self, started_at: i64) -> Self {
        Self { started_at, finished_at: self.finished_at.max(started_at + 1), ..self }
    }
}

/// One change of the database.
#[derive(Debug)]
pub(crate) enum Write {
    Pod { id: PodId, spec: SpecColumn<PodSpec>, state: String },
    Container { id: ContainerId, pod: PodId, spec: SpecColumn<ContainerSpec>, state: String },
    NoContainer(ContainerId),
    NoPod(PodId),
}

/// The spec of a row. It is written once, and again only when it changes: a row is written with each change of a state,
/// and a spec may be much longer.
#[derive(Debug)]
pub(crate) enum SpecColumn<T> {
    /// As JSON.
    Write(String),
    /// The row has it. Kept for a row that somebody has deleted.
    Keep(Arc<T>),
}

impl<T: Serialize> SpecColumn<T> {
    /// `written` tells whether the row has it.
    pub(crate) fn new(spec: &Arc<T>, written: bool) -> Result<Self, serde_json::Error> {
        if written { Ok(Self::Keep(Arc::clone(spec))) } else { serde_json::to_string(&**spec).map(Self::Write) }
    }
}

impl Write {
    fn carry_out(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Pod { id, spec, state } => {
                let update = "UPDATE pods SET state = ?2 WHERE id = ?1";
                if let Some(spec) = whole(tx, update, id.as_str(), spec, state)? {
                    let insert = "INSERT OR REPLACE INTO pods (id, spec, state) VALUES (?1, ?2, ?3)";
                    tx.prepare_cached(insert)?.execute((id.as_str(), spec, state))?;
                }
            }
            Self::Container { id, pod, spec, state } => {
                let update = "UPDATE containers SET state = ?2 WHERE id = ?1";
                if let Some(spec) = whole(tx, update, id.as_str(), spec, state)? {
                    let insert = "INSERT OR REPLACE INTO containers (id, pod, spec, state) VALUES (?1, ?2, ?3, ?4)";
                    tx.prepare_cached(insert)?.execute((id.as_str(), pod.as_str(), spec, state))?;
                }
            }
            Self::NoContainer(id) => {
                tx.prepare_cached("DELETE FROM containers WHERE id = ?1")?.execute([id.as_str()])?;
            }
            Self::NoPod(id) => {
                tx.prepare_cached("DELETE FROM containers WHERE pod = ?1")?.execute([id.as_str()])?;
                tx.prepare_cached("DELETE FROM pods WHERE id = ?1")?.execute([id.as_str()])?;
            }
        }
        Ok(())
    }
}

/// Writes the state into a row that has its spec. The spec as JSON if all of the row has to be written.
fn whole<'a, T: Serialize>(
    tx: &Transaction<'_>,
    update: &str,
    id: &str,
    spec: &'a SpecColumn<T>,
    state: &str,
) -> rusqlite::Result<Option<Cow<'a, str>>> {
    match spec {
        SpecColumn::Write(json) => Ok(Some(Cow::Borrowed(json))),
        SpecColumn::Keep(_) if tx.prepare_cached(update)?.execute((id, state))? > 0 => Ok(None),
        SpecColumn::Keep(spec) => {
            let json = serde_json::to_string(&**spec);
            json.map(|json| Some(json.into())).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
        }
    }
}

/// Carries out changes, all or none.
pub(crate) async fn commit(db: &Database, writes: Vec<Write>) -> Result<(), StoreError> {
    db.write(move |tx| writes.iter().try_for_each(|write| write.carry_out(tx))).await
}

#[cfg(test)]
mod tests {
    use peapod_store::Durability;

    use super::*;
    use crate::samples::pod_spec;

    #[tokio::test]
    async fn a_spec_is_written_once_and_a_row_that_is_missing_again() {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::open(&dir.path().join("state.db"), Durability::Normal, MIGRATIONS).unwrap();
        let (id, spec) = (PodId::random().unwrap(), Arc::new(pod_spec("one")));
        let put = async |written, state: &str| {
            let spec = SpecColumn::new(&spec, written).unwrap();
            commit(&db, vec![Write::Pod { id: id.clone(), spec, state: state.to_owned() }]).await.unwrap();
        };
        let row = async || {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
            db.read(move |db| db.query_row("SELECT spec, state FROM pods", [], row)).await.unwrap()
        };
        let json = serde_json::to_string(&*spec).unwrap();
        put(false, "one").await;
        assert_eq!(row().await, (json.clone(), "one".to_owned()));
        db.write(|tx| tx.execute("UPDATE pods SET spec = 'untouched'", [])).await.unwrap();
        put(true, "two").await;
        assert_eq!(row().await, ("untouched".to_owned(), "two".to_owned()));
        db.write(|tx| tx.execute("DELETE FROM pods", [])).await.unwrap();
        put(true, "three").await;
        assert_eq!(row().await, (json, "three".to_owned()));
    }

    #[test]
    fn what_a_container_is_made_of_stands_beside_the_rest() {
        let written = r#"{"phase":"Created","created_at":1,"image_id":"i","image_name":"n","image_ref":"r",
            "user":[0,0,[]],"stop_signal":15,"cgroup":"/c","stop_deadline":null,"held":false}"#;
        let mut record: ContainerRecord = serde_json::from_str(written).unwrap();
        assert_eq!((record.origin.image_name.as_str(), record.origin.is_restored), ("n", false));
        let text = serde_json::to_value(&record).unwrap();
        assert_eq!((&text["image_ref"], text.get("restored")), (&"r".into(), None));
        record.origin.is_restored = true;
        let again: ContainerRecord = serde_json::from_value(serde_json::to_value(&record).unwrap()).unwrap();
        assert_eq!(again, record);
        serde_json::from_str::<ContainerRecord>(&written.replace("image_id", "other")).unwrap_err();
    }
}
