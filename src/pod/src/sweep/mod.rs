//! What no record leads to: left by a daemon that died between making and recording, or between removing and
//! forgetting, by a defect, an OCI runtime or a person. Looked for at the start, and as long as the daemon runs.
//!
//! What is being made is never taken for it. First is listed what is there, then what is known: and what is to be made
//! is known before it is made, a pod by the registry, a container by its record or, until it has one, by [`Making`].
//! What is being removed is forgotten last. And but for what was there before this daemon made anything, it has to be
//! unknown in two looks, [`SWEEP_PERIOD`] apart.
//! While no pod changes, looks come less and less often; one comes soon after a change.

mod cgroups;
mod end;
mod find;
mod making;
mod pace;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use crate::bounds::{SWEEP_PERIOD, SWEEP_ROUND, SWEEP_SEEN};
use crate::container::ContainerOperations;
use crate::id::{ContainerId, PodId};
use crate::layout::Layout;
use crate::measures::PodMeasures;
use crate::publisher::Publisher;
use crate::record::PodCgroup;
use crate::registry::Registry;
use crate::sandbox::SandboxOperations;
use cgroups::Cgroups;
use pace::{LookOutcome, LookPace};

pub(crate) use making::Making;

/// Everything that a record names, or that is being made.
#[derive(Debug, Default)]
pub(crate) struct KnownIds {
    pub(crate) pods: HashSet<PodId>,
    pub(crate) containers: HashSet<ContainerId>,
    /// Pods whose records can't be read, with cgroups of their containers.
    pub(crate) lost: Vec<(PodId, Vec<String>)>,
}

/// One thing that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stray {
    /// Of a container, or of a pod with all its containers'. What runs in it ends with it.
    Cgroup(String),
    /// What there is of a pod: its shim, its network, its folder.
    Pod(PodId),
    /// A network whose id is no pod's.
    Network(String),
    /// A hold on an image's layers, by its holder.
    Lease(String),
    /// A file or folder below the daemon's two roots, with all that is in it.
    Files(PathBuf),
}

/// All that [`Stray::kind`] answers.
pub(crate) const STRAYS: [&str; 5] = ["cgroup", "pod", "network", "lease", "files"];

impl Stray {
    /// What it is, in a word: labels of metrics have it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Cgroup(_) => "cgroup",
            Self::Pod(_) => "pod",
            Self::Network(_) => "network",
            Self::Lease(_) => "lease",
            Self::Files(_) => "files",
        }
    }
}

/// What is remembered of a stray between two looks.
#[derive(Clone, Copy, Debug)]
struct StraySeen {
    /// When it may be ended.
    due: Instant,
    /// How often it could not be ended.
    failures: u32,
}

/// What a sweep looks at, and what it ends things with.
pub(crate) struct SweepContext {
    pub(crate) registry: Arc<Registry>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) sandboxes: Arc<SandboxOperations>,
    pub(crate) containers: Arc<ContainerOperations>,
    /// Of pods that name no parent, and have no limits as a whole.
    pub(crate) cgroup: PodCgroup,
    /// The cgroup in which shims live.
    pub(crate) shim_cgroup: String,
    pub(crate) measures: PodMeasures,
}

/// Gives back what nobody owns.
pub(crate) struct Sweep {
    context: Arc<SweepContext>,
    cgroups: Cgroups,
    /// What is to be ended now.
    strays: Vec<Stray>,
    lost: Vec<(PodId, Vec<String>)>,
    seen: BTreeMap<Stray, StraySeen>,
}

impl Sweep {
    /// Lists what is there but not known. Nothing new may be made before this returns.
    pub(crate) async fn list(context: Arc<SweepContext>, known: KnownIds) -> Self {
        let Some((mut sweep, found)) = Self::new(Arc::clone(&context)).find().await else {
            // The first look while the daemon runs is the next try.
            return Self::new(context);
        };
        sweep.strays = unknown(&sweep.context.sandboxes.layout, found, &known).into_iter().collect();
        sweep.lost = known.lost;
        sweep
    }

    fn new(context: Arc<SweepContext>) -> Self {
        let cgroups = Cgroups::new(Arc::clone(&context));
        Self { context, cgroups, strays: Vec::new(), lost: Vec::new(), seen: BTreeMap::new() }
    }

    /// Gives it back, and then looks for more until the daemon ends. What fails is tried again with the next look.
    pub(crate) async fn run(mut self, mut closing: watch::Receiver<bool>) {
        self.end_lost().await;
        let mut news = self.context.publisher.news();
        let (mut pace, mut last) = (LookPace::new(), self.context.publisher.snapshot());
        loop {
            self.end().await;
            tokio::select! {
                // An error means that the daemon is gone.
                _ = closing.wait_for(|closing| *closing) => return,
                () = pace.wait(&mut news) => {}
            }
            let Some(next) = self.look().await else { return };
            self = next;
            let before = std::mem::replace(&mut last, self.context.publisher.snapshot());
            let is_calm = self.seen.is_empty() && Arc::ptr_eq(&before, &last);
            pace = pace.after(if is_calm { LookOutcome::Calm } else { LookOutcome::Busy });
        }
    }

    /// Finds what nobody has known for a while. None when the daemon ends.
    async fn look(self) -> Option<Self> {
        let (mut this, found) = self.find().await?;
        let known = this.known()?;
        let unknown = unknown(&this.context.sandboxes.layout, found, &known);
        let now = Instant::now();
        this.seen.retain(|stray, _| unknown.contains(stray));
        for stray in unknown {
            if this.seen.len() < SWEEP_SEEN {
                this.seen.entry(stray).or_insert(StraySeen { due: now + SWEEP_PERIOD, failures: 0 });
            }
        }
        let stale = this.seen.iter().filter(|(_, seen)| now >= seen.due);
        let mut stale: Vec<_> = stale.map(|(stray, seen)| (seen.failures, stray.clone())).collect();
        // What can't be ended keeps nobody's place.
        stale.sort();
        this.strays = stale.into_iter().take(SWEEP_ROUND).map(|(_, stray)| stray).collect();
        Some(this)
    }

    /// What is known now. None when the daemon ends: it lets go of its pods, which run on.
    fn known(&self) -> Option<KnownIds> {
        let pods = self.context.registry.ids()?;
        // In this order: one that gets its record meanwhile is in one of the two.
        let mut containers = self.context.containers.making.ids();
        let snapshot = self.context.publisher.snapshot();
        containers.extend(snapshot.containers().map(|container| container.id.clone()));
        Some(KnownIds { pods, containers, lost: Vec::new() })
    }
}

/// Those of what was found that nobody knows.
fn unknown(layout: &Layout, found: BTreeSet<Stray>, known: &KnownIds) -> BTreeSet<Stray> {
    let sockets: HashSet<PathBuf> = known.pods.iter().map(|id| layout.socket(id)).collect();
    // The container that begins a pod's sandbox is called as the pod.
    let is_container = |name: &str| known.containers.contains(name) || known.pods.contains(name);
    let is_known = |stray: &Stray| match stray {
        Stray::Cgroup(group) => {
            let name = group.rsplit('/').next().unwrap_or_default();
            match peapod_cgroup::pod_id_of(name) {
                Some(pod) => known.pods.contains(pod),
                None => peapod_cgroup::id_of(name, |_| true).is_none_or(is_container),
            }
        }
        Stray::Pod(id) => known.pods.contains(id),
        Stray::Network(id) => known.pods.contains(id.as_str()),
        Stray::Lease(holder) => is_container(holder),
        Stray::Files(path) => {
            sockets.contains(path) || path.file_name().and_then(|name| name.to_str()).is_some_and(is_container)
        }
    };
    found.into_iter().filter(|stray| !is_known(stray)).collect()
}
