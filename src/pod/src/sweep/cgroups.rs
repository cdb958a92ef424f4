//! Cgroups that no record leads to, and what runs in them: looked for as long as the daemon runs, as a defect, an OCI runtime or a person
//! may leave one at any time.
//!
//! Somebody else's are never touched. Looked at are the parents of peapod's pods alone, and there what is called as only peapod calls its
//! containers' groups; and the parent of pods that name none, which two daemons may be told to use, only while no other daemon does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use peapod_cgroup::Shared;
use tokio::sync::watch;

use crate::bounds::{SWEEP_GROUPS, SWEEP_PERIOD};
use crate::id::{ContainerId, PodId};
use crate::node::Node;
use crate::sandbox;

/// What is known of the groups that nobody knows.
pub(crate) struct Cgroups {
    node: Arc<Node>,
    /// The parent of pods that name none.
    shared: Option<Shared>,
    /// When each was first seen.
    seen: HashMap<String, Instant>,
}

impl Cgroups {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, shared: None, seen: HashMap::new() }
    }

    /// Until the daemon ends.
    pub(crate) async fn sweep(mut self, mut closing: watch::Receiver<bool>) {
        loop {
            let found = tokio::task::spawn_blocking(move || {
                let found = self.find();
                (self, found)
            });
            let stale;
            // An error would be a panic in there, which its hook has logged.
            let Ok(found) = found.await else { return };
            (self, stale) = found;
            if !stale.is_empty() {
                self.end(stale).await;
            }
            tokio::select! {
                // An error means that the daemon is gone.
                _ = closing.wait_for(|closing| *closing) => return,
                () = tokio::time::sleep(SWEEP_PERIOD) => {}
            }
        }
    }

    /// Groups that nobody has known for a while. First they are listed, then is looked who is known: a container is shown before it has a
    /// group.
    fn find(&mut self) -> Vec<String> {
        let now = Instant::now();
        let groups: BTreeSet<String> = self.parents().iter().flat_map(|parent| self.groups(parent)).collect();
        let snapshot = self.node.publisher.snapshot();
        let is_known = |group: &str| {
            let id = group.rsplit('/').next().and_then(peapod_cgroup::id_of).and_then(ContainerId::parse);
            id.is_none_or(|id| snapshot.container(&id).is_some())
        };
        let unknown: Vec<String> = groups.into_iter().filter(|group| !is_known(group)).take(SWEEP_GROUPS).collect();
        self.seen.retain(|group, _| unknown.contains(group));
        let since = |group: &String| *self.seen.entry(group.clone()).or_insert(now);
        let firsts: Vec<Instant> = unknown.iter().map(since).collect();
        let stale = unknown.into_iter().zip(firsts).filter(|(_, first)| now.duration_since(*first) >= SWEEP_PERIOD);
        stale.map(|(group, _)| group).collect()
    }

    fn parents(&mut self) -> BTreeSet<String> {
        let snapshot = self.node.publisher.snapshot();
        let mut parents: BTreeSet<String> = snapshot.pods().map(|entry| entry.pod.cgroup_parent.clone()).collect();
        let usual = self.node.config.cgroup_parent.clone();
        if self.is_alone() {
            parents.insert(usual);
        } else {
            parents.remove(&usual);
        }
        parents
    }

    /// Whether no other daemon makes groups below the usual parent.
    fn is_alone(&mut self) -> bool {
        if !self.shared.as_ref().is_some_and(Shared::is_current) {
            let group = self.node.cgroups.cgroup(&self.node.config.cgroup_parent);
            self.shared = group.ok().and_then(|group| group.share().ok().flatten());
        }
        self.shared.as_ref().is_some_and(|shared| shared.is_alone().unwrap_or(false))
    }

    fn groups(&self, parent: &str) -> Vec<String> {
        let Ok(group) = self.node.cgroups.cgroup(parent) else { return Vec::new() };
        match group.children() {
            Ok(names) => {
                let own = names.into_iter().filter(|name| peapod_cgroup::id_of(name).is_some());
                own.map(|name| format!("{parent}/{name}")).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "cgroups can't be listed");
                Vec::new()
            }
        }
    }

    async fn end(&self, groups: Vec<String>) {
        // The clean-up of a pod that does not exist: it has nothing but these groups.
        let Ok(nobody) = PodId::random() else { return };
        match sandbox::run_delete(&self.node, &nobody, &groups).await {
            Ok(()) => tracing::warn!(?groups, "ended and removed cgroups that no record leads to"),
            Err(error) => {
                tracing::warn!(%error, ?groups, "cgroups that no record leads to can't be removed; tried again");
            }
        }
    }
}
