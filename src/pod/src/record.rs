//! Records of pods and containers in state.db: what must be known about them after the daemon died.
//!
//! A row has the request, which never changes but for a container's limits, and the state, which does. Both are JSON,
//! so that any sqlite tool shows them.

use std::net::IpAddr;
use std::path::PathBuf;

use peapod_cgroup::Driver;
use peapod_spec::{ImageDefaults, UserIds};
use peapod_store::{Database, Migration, StoreError};
use serde::{Deserialize, Serialize};

use crate::id::{ContainerId, PodId};

/// This crate's tables in state.db.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        room: "pod",
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
        room: "pod",
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
}

/// Where a pod's containers have their cgroups, and who makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodCgroup {
    pub(crate) driver: Driver,
    /// A path of a group.
    pub(crate) parent: String,
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

/// What changes about a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) phase: ContainerPhase,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) image_id: String,
    pub(crate) image_name: String,
    pub(crate) image_ref: String,
    /// What it takes from its image, which may be removed before it starts. Records of earlier releases have none.
    #[serde(default)]
    pub(crate) image: Option<ImageDefaults>,
    pub(crate) user: UserIds,
    pub(crate) stop_signal: i32,
    pub(crate) cgroup: String,
    /// When the shim kills it, CLOCK_BOOTTIME in nanoseconds.
    pub(crate) stop_deadline: Option<i64>,
    /// The shim, the OCI runtime, the cgroup or the mount table may still hold something of it.
    #[serde(rename = "held")]
    pub(crate) needs_cleanup: bool,
}

/// Phase of a container's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ContainerPhase {
    /// No process yet.
    Created,
    /// Being started: after a crash the shim knows how far it came.
    Starting,
    /// Its process runs.
    Running { pid: u32, started_at: i64 },
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
    Pod { id: PodId, spec: String, state: String },
    Container { id: ContainerId, pod: PodId, spec: String, state: String },
    NoContainer(ContainerId),
    NoPod(PodId),
}

/// Carries out changes, all or none.
pub(crate) async fn commit(db: &Database, writes: Vec<Write>) -> Result<(), StoreError> {
    db.write(move |tx| {
        for write in &writes {
            match write {
                Write::Pod { id, spec, state } => tx
                    .prepare_cached("INSERT OR REPLACE INTO pods (id, spec, state) VALUES (?1, ?2, ?3)")?
                    .execute((id.as_str(), spec, state))?,
                Write::Container { id, pod, spec, state } => tx
                    .prepare_cached("INSERT OR REPLACE INTO containers (id, pod, spec, state) VALUES (?1, ?2, ?3, ?4)")?
                    .execute((id.as_str(), pod.as_str(), spec, state))?,
                Write::NoContainer(id) => {
                    tx.prepare_cached("DELETE FROM containers WHERE id = ?1")?.execute([id.as_str()])?
                }
                Write::NoPod(id) => {
                    tx.prepare_cached("DELETE FROM containers WHERE pod = ?1")?.execute([id.as_str()])?;
                    tx.prepare_cached("DELETE FROM pods WHERE id = ?1")?.execute([id.as_str()])?
                }
            };
        }
        Ok(())
    })
    .await
}
