//! Listing what is there that a record should lead to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Stray, Sweep, SweepContext};
use crate::container;
use crate::container::ContainerOperations;
use crate::id::{ContainerId, PodId};

impl Sweep {
    /// Everything, known or not. None when the daemon ends.
    pub(super) async fn find(mut self) -> Option<(Self, BTreeSet<Stray>)> {
        let context = Arc::clone(&self.context);
        let leases = async {
            context.containers.images.leases().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "leases of images can't be listed; the next look tries again");
                Vec::new()
            })
        };
        let listing = tokio::task::spawn_blocking(move || {
            let mut found = BTreeSet::new();
            found.extend(self.cgroups.list().into_iter().map(Stray::Cgroup));
            files(&self.context.containers, &mut found);
            found.extend(shims(&self.context).into_iter().map(Stray::Pod));
            (self, found)
        });
        let (listing, leases) = tokio::join!(listing, leases);
        // An error would be a panic in there, which its hook has logged.
        let (this, mut found) = listing.ok()?;
        found.extend(leases.into_iter().map(|(holder, _)| Stray::Lease(holder)));
        found.extend(context.sandboxes.network.ids().into_iter().map(|id| match PodId::parse(&id) {
            Some(id) => Stray::Pod(id),
            None => Stray::Network(id),
        }));
        Some((this, found))
    }
}

/// What is below the daemon's two roots, and what OCI runtimes have kept there.
fn files(containers: &ContainerOperations, found: &mut BTreeSet<Stray>) {
    let layout = &containers.layout;
    for (name, path) in entries(&layout.pods()) {
        let Some(id) = PodId::parse(&name) else {
            found.insert(Stray::Files(path));
            continue;
        };
        // Bundles in which something has run go with their pod.
        found.extend(container::unrecorded(&path, |_| false).into_iter().map(Stray::Files));
        found.insert(Stray::Pod(id));
    }
    found.extend(entries(&layout.sockets()).map(|(_, path)| Stray::Files(path)));
    found.extend(entries(&layout.writables()).map(|(_, path)| Stray::Files(path)));
    // A root that is configured to be elsewhere may have other engines' containers in it.
    for root in containers.runtimes.roots().iter().filter(|root| root.starts_with(layout.run_root())) {
        // A runtime may keep more there than its containers.
        let own = entries(root).filter(|(name, _)| ContainerId::parse(name).is_some());
        found.extend(own.map(|(_, path)| Stray::Files(path)));
    }
}

fn entries(dir: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

/// The pods of all shims of this daemon that run. They are looked for in their cgroup, where nobody else is: reading
/// the command line of any process could take as long as that one likes.
fn shims(context: &SweepContext) -> Vec<PodId> {
    let group = context.sandboxes.cgroups.cgroup(&context.shim_cgroup).ok().and_then(|group| group.pids().ok());
    let pods = context.sandboxes.layout.pods();
    let pod = |pid: u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        serves(&line, &pods)
    };
    group.unwrap_or_default().into_iter().filter_map(pod).collect()
}

/// The pod of a shim, from its command line: `… -id ID -bundle PODS/ID`, and no action.
fn serves(line: &[u8], pods: &Path) -> Option<PodId> {
    let words: Vec<&str> = line.split(|byte| *byte == 0).map(|word| str::from_utf8(word).unwrap_or_default()).collect();
    if words.contains(&"delete") {
        return None;
    }
    words.windows(4).find_map(|words| match words {
        ["-id", id, "-bundle", bundle] if Path::new(bundle) == pods.join(id) => PodId::parse(id),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shims_of_this_daemon_count() {
        let id = "0123456789abcdef".repeat(4);
        let of = |line: &str| serves(line.replace(' ', "\0").as_bytes(), Path::new("/run/p/pods"));
        let shim = format!("/x/shim -namespace peapod -id {id} -bundle /run/p/pods/{id}");
        assert_eq!(of(&shim), PodId::parse(&id));
        for other in [
            format!("{shim} delete"),
            shim.replace("/run/p/", "/run/other/"),
            shim.replace("-id 0", "-id 1"),
            "/x/shim -namespace peapod -id x -bundle /run/p/pods/x".to_owned(),
            "peapod-init".to_owned(),
            String::new(),
        ] {
            assert_eq!(of(&other), None, "{other}");
        }
    }
}
