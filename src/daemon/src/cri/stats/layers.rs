//! Sizes of writable layers. Counting means a walk, so a result is kept for a while.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peapod_pod::ContainerId;

/// How long a result is good: the kubelet asks every ten seconds.
const FRESH: Duration = Duration::from_secs(10);
/// A walk ends after as many files: a layer with more is large, and one call should not take minutes.
const MOST: u64 = 500_000;

/// What a writable layer takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) inodes: u64,
}

struct Measured {
    usage: Usage,
    at: Instant,
}

/// Sizes by container; never more entries than there are containers, as lists drop the others. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Layers(Arc<Mutex<BTreeMap<ContainerId, Measured>>>);

impl Layers {
    /// The size of a layer, walked if it wasn't lately. Blocks.
    pub(super) fn of(&self, id: &ContainerId, upper: &Path) -> Usage {
        if let Some(known) = self.lock().get(id)
            && known.at.elapsed() < FRESH
        {
            return known.usage;
        }
        let usage = measure(upper);
        self.lock().insert(id.clone(), Measured { usage, at: Instant::now() });
        usage
    }

    /// Drops the entries that are not wanted any more.
    pub(super) fn retain(&self, keep: impl Fn(&ContainerId) -> bool) {
        self.lock().retain(|id, _| keep(id));
    }

    /// The sum of what is known. Walks nothing.
    pub(crate) fn total(&self) -> Usage {
        self.lock().values().fold(Usage::default(), |total, known| Usage {
            bytes: total.bytes + known.usage.bytes,
            inodes: total.inodes + known.usage.inodes,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Measured>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks and inodes below a folder, each hard-linked file once. What vanishes meanwhile is left out.
fn measure(root: &Path) -> Usage {
    let mut usage = Usage::default();
    let mut linked = HashSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.nlink() > 1 && !found.is_dir() && !linked.insert(found.ino()) {
                continue;
            }
            usage.bytes += found.blocks() * 512;
            usage.inodes += 1;
            if usage.inodes >= MOST {
                return usage;
            }
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_links_count_once() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a");
        std::fs::write(&file, vec![1u8; 8192]).unwrap();
        std::fs::create_dir(root.path().join("d")).unwrap();
        std::fs::hard_link(&file, root.path().join("d/b")).unwrap();
        let usage = measure(root.path());
        assert_eq!(usage.inodes, 2);
        assert!((8192..65536).contains(&usage.bytes), "{usage:?}");
    }
}
