//! Records of pods and containers in state.db: what must be known about them after the daemon died.
//!
//! A row has the request, which never changes but for a container's limits, and the state, which does. Both are JSON, so
//! that any sqlite tool shows them.

use std::net::IpAddr;
use std::path::PathBuf;

use peapod_cgroup::Driver;
use peapod_spec::ImageDefaults;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;
use peapod_store::{Database, Migration, StoreError};
use serde::{Deserialize, Serialize};

use crate::id::{ContainerId, PodId};

/// This room's tables.
pub const MIGRATIONS: &[Migration] = &[Migration {
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
}];

/// What changes about a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodState {
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
pub(crate) struct ContainerState {
    pub(crate) phase: ContainerPhase,
    /// Nanoseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) image_id: String,
    pub(crate) image_name: String,
    pub(crate) image_ref: String,
    /// What it takes from its image, which may be removed before it starts. Records of earlier releases have none.
    #[serde(default)]
    pub(crate) image: Option<ImageDefaults>,
    pub(crate) user: (u32, u32, Vec<u32>),
    pub(crate) stop_signal: i32,
    pub(crate) cgroup: String,
    /// When the shim kills it, CLOCK_BOOTTIME in nanoseconds.
    pub(crate) stop_deadline: Option<i64>,
    /// The shim, the OCI runtime, the cgroup or the mount table may still hold something of it.
    pub(crate) held: bool,
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

/// A pod as it was recorded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) id: PodId,
    pub(crate) spec: PodSpec,
    pub(crate) state: PodState,
    pub(crate) containers: Vec<(ContainerId, ContainerSpec, ContainerState)>,
    /// It was written in another boot.
    pub(crate) rebooted: bool,
}

type Row = (String, String, String);

/// Everything that is recorded.
pub(crate) async fn load(db: &Database) -> Result<Vec<Loaded>, LoadError> {
    let (pods, containers) = db
        .read(|db| {
            let pods: Vec<Row> = db
                .prepare("SELECT id, spec, state FROM pods")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<Result<_, _>>()?;
            let containers: Vec<(String, Row)> = db
                .prepare("SELECT pod, id, spec, state FROM containers")?
                .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))?
                .collect::<Result<_, _>>()?;
            Ok((pods, containers))
        })
        .await?;
    let mut loaded = Vec::with_capacity(pods.len());
    for (id, spec, state) in pods {
        let mut pod = Loaded {
            spec: decode(&id, &spec)?,
            state: decode(&id, &state)?,
            id: decode_id(&id)?,
            containers: Vec::new(),
            rebooted: false,
        };
        if pod.state.cgroup.parent.is_empty() {
            // Written before there was a choice.
            let usual = || Driver::Cgroupfs.default_parent().to_owned();
            pod.state.cgroup.parent = pod.spec.cgroup_parent.clone().unwrap_or_else(usual);
        }
        for (_, (container, spec, state)) in containers.iter().filter(|(pod, _)| *pod == id) {
            pod.containers.push((decode_id(container)?, decode(container, spec)?, decode(container, state)?));
        }
        loaded.push(pod);
    }
    Ok(loaded)
}

/// Why records could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("record of {id}: {reason}")]
    Content { id: String, reason: String },
}

fn decode<T: serde::de::DeserializeOwned>(id: &str, text: &str) -> Result<T, LoadError> {
    serde_json::from_str(text).map_err(|error| LoadError::Content { id: id.to_owned(), reason: error.to_string() })
}

fn decode_id<T: serde::de::DeserializeOwned>(id: &str) -> Result<T, LoadError> {
    serde_json::from_value(id.into())
        .map_err(|error| LoadError::Content { id: id.to_owned(), reason: error.to_string() })
}
