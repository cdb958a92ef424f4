//! Cgroups of containers, and of pods that have one of their own.
//!
//! Looked at are the parents of peapod's pods alone, and there what is called as peapod calls its containers' groups;
//! and the parent of pods that name none, which two daemons may be told to use, only while no other daemon does. There,
//! and nowhere else, are pods' own groups.
//! containerd calls its groups so, too: those that it left in a pod which is peapod's now, of a node that was not
//! drained before, are ended (docs/in-place-of-containerd.md says so).

use std::collections::BTreeSet;
use std::sync::Arc;

use peapod_cgroup::{ScopePrefix, Shared};

use super::SweepContext;

/// Looks for such cgroups.
pub(super) struct Cgroups {
    context: Arc<SweepContext>,
    /// The parent of pods that name none.
    shared: Option<Shared>,
}

impl Cgroups {
    pub(super) fn new(context: Arc<SweepContext>) -> Self {
        Self { context, shared: None }
    }

    /// All of them. Blocks.
    pub(super) fn list(&mut self) -> BTreeSet<String> {
        let parents = self.parents();
        let default = self.context.cgroup.parent.clone();
        let is_container = |name: &str| peapod_cgroup::id_of(name, |prefix| self.is_own(prefix)).is_some();
        let is_own = |parent: &str, name: &str| {
            is_container(name) || (parent == default && peapod_cgroup::pod_id_of(name).is_some())
        };
        parents.iter().flat_map(|parent| self.groups(parent, |name| is_own(parent, name))).collect()
    }

    fn parents(&mut self) -> BTreeSet<String> {
        let snapshot = self.context.publisher.snapshot();
        let mut parents: BTreeSet<String> = snapshot.pods().map(|entry| entry.pod.cgroup_parent.clone()).collect();
        let default = self.context.cgroup.parent.clone();
        if self.is_alone() {
            parents.insert(default);
        } else {
            parents.remove(&default);
        }
        parents
    }

    /// Whether no other daemon makes groups below the default parent.
    fn is_alone(&mut self) -> bool {
        if !self.shared.as_ref().is_some_and(Shared::is_current) {
            let group = self.context.sandboxes.cgroups.cgroup(&self.context.cgroup.parent);
            self.shared = group.ok().and_then(|group| group.share().ok().flatten());
        }
        self.shared.as_ref().is_some_and(|shared| shared.is_alone().unwrap_or(false))
    }

    /// Whether peapod calls scopes so, as it is configured or by itself, today or before.
    fn is_own(&self, prefix: &str) -> bool {
        prefix == self.context.cgroup.scope_prefix.as_str() || ScopePrefix::BUILT_IN.contains(&prefix)
    }

    fn groups(&self, parent: &str, is_own: impl Fn(&str) -> bool) -> Vec<String> {
        let Ok(group) = self.context.sandboxes.cgroups.cgroup(parent) else { return Vec::new() };
        match group.children() {
            Ok(names) => {
                let own = names.into_iter().filter(|name| is_own(name));
                own.map(|name| format!("{parent}/{name}")).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "cgroups can't be listed");
                Vec::new()
            }
        }
    }
}
