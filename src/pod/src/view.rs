//! What lists and statuses read: an immutable snapshot of all pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use peapod_spec::UserIds;
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::PodSpec;

use crate::bounds::CONFIG_BYTES;
use crate::container::ExecBase;
use crate::id::{ContainerId, PodId};
use crate::parent_kind::ParentKind;
use crate::read;
use crate::record::ImageMount;

/// All pods and containers at one moment. Cheap to hold; never changes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pods: BTreeMap<PodId, Arc<PodEntry>>,
    containers: BTreeMap<ContainerId, PodId>,
}

/// A pod and its containers.
#[derive(Clone, Debug)]
pub struct PodEntry {
    /// The pod.
    pub pod: PodView,
    /// Its containers.
    pub containers: BTreeMap<ContainerId, Arc<ContainerView>>,
}

/// A pod as its clients see it.
#[derive(Clone, Debug)]
pub struct PodView {
    /// Its id.
    pub id: PodId,
    /// As asked for.
    pub spec: Arc<PodSpec>,
    /// READY or not.
    pub state: PodState,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Empty in the node's network; the first one is the primary address.
    pub ips: Vec<IpAddr>,
    /// Path of the pinned network namespace; `None` in the node's network.
    pub netns: Option<PathBuf>,
    /// PID of the shim; 0 when there is none.
    pub shim_pid: u32,
    /// Kinds, as the OCI runtime specification names them, and paths of the namespaces that it has of its own.
    pub namespaces: Vec<(&'static str, PathBuf)>,
    /// The handler's name as asked for.
    pub runtime_handler: String,
    /// The cgroup below which the pod's containers are, `/…`.
    pub cgroup_parent: String,
    /// Whose that is.
    pub parent_kind: ParentKind,
}

/// State of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodState {
    /// Containers can run in it.
    Ready,
    /// It was stopped, or its shim or pod init is gone.
    NotReady,
}

/// A container as its clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    /// Its id.
    pub id: ContainerId,
    /// Whose it is.
    pub pod: PodId,
    /// As asked for; `resources` as last updated.
    pub spec: Arc<ContainerSpec>,
    /// Digest of the image's configuration, `sha256:…`.
    pub image_id: String,
    /// How the image is called: a tag, else a digest reference, else its id.
    pub image_name: String,
    /// A digest reference, else the id.
    pub image_ref: String,
    /// Images of its mounts, in the order of these.
    pub image_mounts: Vec<ImageMount>,
    /// Life so far.
    pub state: ContainerState,
    /// Nanoseconds since the epoch.
    pub created_at: i64,
    /// Who its process runs as.
    pub user: UserIds,
    /// Number of the signal that StopContainer sends.
    pub stop_signal: i32,
    /// Absolute path of its log.
    pub log_path: Option<PathBuf>,
    /// Its cgroup, `/…`.
    pub cgroup: String,
    /// Its bundle on the run root.
    pub bundle: PathBuf,
    /// Folder of its writable layer.
    pub upper: PathBuf,
    /// What commands in it begin with.
    pub exec: ExecBase,
}

impl ContainerView {
    /// The configuration: as the container was created with it, and once it was started as the OCI runtime got it.
    ///
    /// # Errors
    /// When there is none, or something else in its place.
    pub async fn config_json(&self) -> std::io::Result<Vec<u8>> {
        let file = self.bundle.join("config.json");
        let read = tokio::task::spawn_blocking(move || read::whole(&file, CONFIG_BYTES)).await;
        read.unwrap_or_else(|panic| Err(panic.into()))
    }
}

/// State of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// No process yet.
    Created,
    /// Its process runs.
    Running {
        /// PID of its first process on the node.
        pid: u32,
        /// Nanoseconds since the epoch.
        started_at: i64,
    },
    /// It ended.
    Exited {
        /// Nanoseconds since the epoch; 0 if it never ran.
        started_at: i64,
        /// Nanoseconds since the epoch.
        finished_at: i64,
        /// 128 + n for signal n.
        exit_code: i32,
        /// `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`.
        reason: String,
        /// For people.
        message: String,
    },
}

/// What an id or a prefix of one stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved<T> {
    /// Exactly one.
    One(T),
    /// None.
    Unknown,
    /// More than one begins so.
    Ambiguous,
}

impl FromIterator<Arc<PodEntry>> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Arc<PodEntry>>>(entries: I) -> Self {
        let mut snapshot = Self::default();
        entries.into_iter().for_each(|entry| snapshot.put(entry));
        snapshot
    }
}

impl Snapshot {
    /// All pods, in the order of their ids.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<PodEntry>> {
        self.pods.values()
    }

    /// All containers.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<ContainerView>> {
        self.pods.values().flat_map(|entry| entry.containers.values())
    }

    /// A pod by its full id.
    #[must_use]
    pub fn pod(&self, id: &PodId) -> Option<&Arc<PodEntry>> {
        self.pods.get(id)
    }

    /// A container by its full id, with its pod.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> Option<(&Arc<PodEntry>, &Arc<ContainerView>)> {
        let entry = self.pods.get(self.containers.get(id)?)?;
        Some((entry, entry.containers.get(id)?))
    }

    /// The pod whose id is, or alone begins with, this text. Empty text is no prefix.
    #[must_use]
    pub fn find_pod(&self, text: &str) -> Resolved<&Arc<PodEntry>> {
        resolve(&self.pods, text)
    }

    /// The container whose id is, or alone begins with, this text. Empty text is no prefix.
    #[must_use]
    pub fn find_container(&self, text: &str) -> Resolved<(&Arc<PodEntry>, &Arc<ContainerView>)> {
        match resolve_key(&self.containers, text) {
            Resolved::One(id) => self.container(id).map_or(Resolved::Unknown, Resolved::One),
            Resolved::Unknown => Resolved::Unknown,
            Resolved::Ambiguous => Resolved::Ambiguous,
        }
    }

    /// Puts a pod's new entry in the place of the old one.
    pub(crate) fn put(&mut self, entry: Arc<PodEntry>) {
        let id = entry.pod.id.clone();
        self.forget_containers(&id);
        for container in entry.containers.keys() {
            self.containers.insert(container.clone(), id.clone());
        }
        self.pods.insert(id, entry);
    }

    /// Takes a pod and its containers out.
    pub(crate) fn remove(&mut self, id: &PodId) {
        self.forget_containers(id);
        self.pods.remove(id);
    }

    fn forget_containers(&mut self, id: &PodId) {
        if let Some(old) = self.pods.get(id) {
            for container in old.containers.keys() {
                self.containers.remove(container);
            }
        }
    }
}

fn resolve_key<'a, K: std::borrow::Borrow<str> + Ord, V>(map: &'a BTreeMap<K, V>, text: &str) -> Resolved<&'a K> {
    if text.is_empty() {
        return Resolved::Unknown;
    }
    let mut matches = map
        .range::<str, _>((Bound::Included(text), Bound::Unbounded))
        .map(|(key, _)| key)
        .take_while(|key| (*key).borrow().starts_with(text));
    match (matches.next(), matches.next()) {
        (None, _) => Resolved::Unknown,
        (Some(key), None) => Resolved::One(key),
        (Some(key), Some(_)) if key.borrow() == text => Resolved::One(key),
        _ => Resolved::Ambiguous,
    }
}

fn resolve<'a, K: std::borrow::Borrow<str> + Ord, V>(map: &'a BTreeMap<K, V>, text: &str) -> Resolved<&'a V> {
    match resolve_key(map, text) {
        Resolved::One(key) => map.get(key.borrow()).map_or(Resolved::Unknown, Resolved::One),
        Resolved::Unknown => Resolved::Unknown,
        Resolved::Ambiguous => Resolved::Ambiguous,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A pod of a new id, and of nothing else.
    pub(crate) fn pod() -> PodEntry {
        let pod = PodView {
            id: PodId::random().unwrap(),
            spec: Arc::new(crate::samples::pod_spec("pod")),
            state: PodState::Ready,
            created_at: 0,
            ips: Vec::new(),
            netns: None,
            shim_pid: 0,
            namespaces: Vec::new(),
            runtime_handler: String::new(),
            cgroup_parent: String::new(),
            parent_kind: ParentKind::Shared,
        };
        PodEntry { pod, containers: BTreeMap::new() }
    }

    /// A created container of a new id.
    pub(crate) fn container(pod: &PodId) -> ContainerView {
        let id = ContainerId::random().unwrap();
        ContainerView {
            pod: pod.clone(),
            spec: Arc::new(crate::samples::container_spec("container", 0)),
            image_id: String::new(),
            image_name: String::new(),
            image_ref: String::new(),
            image_mounts: Vec::new(),
            state: ContainerState::Created,
            created_at: 0,
            user: UserIds::default(),
            stop_signal: 15,
            log_path: None,
            cgroup: String::new(),
            bundle: PathBuf::from(id.as_str()),
            upper: PathBuf::new(),
            exec: ExecBase::default(),
            id,
        }
    }

    #[test]
    fn prefixes_resolve_when_unique() {
        let map: BTreeMap<String, u8> =
            [("aa11", 1), ("aa22", 2), ("bb", 3), ("bb0", 4)].map(|(k, v)| (k.to_owned(), v)).into();
        assert_eq!(resolve(&map, "aa1"), Resolved::One(&1));
        assert_eq!(resolve(&map, "aa"), Resolved::Ambiguous);
        assert_eq!(resolve(&map, "bb"), Resolved::One(&3));
        assert_eq!(resolve(&map, "c"), Resolved::Unknown);
        assert_eq!(resolve(&map, ""), Resolved::Unknown);
    }
}
