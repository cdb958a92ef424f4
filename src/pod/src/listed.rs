//! What lists show of all pods and containers fits into one answer: a client whose list is refused sees no pod at all,
//! and a kubelet then takes all of them for gone. So it is counted when a pod or container is asked for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peapod_spec::container::{ContainerSpec, ImageSource, MountSource};
use peapod_spec::pod::PodSpec;

use crate::bounds::LISTED_ENTRY;
use crate::error::Error;
use crate::view::Snapshot;

/// Ids, states, times, numbers and statistics of an entry.
const FIXED: usize = 1 << 10;
/// Tags and lengths around a text, and around the pair that it is in.
const FRAME: usize = 12;
/// An image's id.
const IMAGE_ID: usize = 71;

/// Counts what is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// What one pod or container takes; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Listed {
    /// `limit` is what one answer holds, in bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, used: Arc::default() }
    }

    /// Of what is recorded: it has to be shown, whatever it takes.
    pub(crate) fn recorded(&self, bytes: u64) -> Share {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Share { used: Arc::clone(&self.used), bytes }
    }

    /// Of what is asked for. `snapshot` only serves the error, to name what takes most.
    pub(crate) fn reserve(&self, what: &str, bytes: u64, snapshot: &Snapshot) -> Result<Share, Error> {
        if bytes > LISTED_ENTRY {
            let reason = format!(
                "labels, annotations, names and mounts have {bytes} bytes together, at most {LISTED_ENTRY} fit"
            );
            return Err(Error::Invalid { field: "config".to_owned(), reason });
        }
        let room = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(Share { used: Arc::clone(&self.used), bytes }),
            Err(used) => Err(Error::ListFull {
                what: what.to_owned(),
                need: bytes,
                limit: self.limit,
                used,
                biggest: biggest(snapshot),
            }),
        }
    }
}

/// Whichever pod takes most, with its containers.
fn biggest(snapshot: &Snapshot) -> String {
    let size = |entry: &crate::view::PodEntry| {
        let containers = entry.containers.values().map(|container| of_container(&container.spec));
        of_pod(&entry.pod.spec) + containers.sum::<u64>()
    };
    let biggest = snapshot.pods().map(|entry| (size(entry), entry)).max_by_key(|(size, _)| *size);
    biggest.map_or_else(String::new, |(size, entry)| {
        let name = &entry.pod.spec.metadata;
        format!(", {size} of them by pod {}/{} ({})", name.namespace, name.name, entry.pod.id.short())
    })
}

/// What an entry of a pod takes.
pub(crate) fn of_pod(spec: &PodSpec) -> u64 {
    let name = &spec.metadata;
    let texts = [&name.name, &name.namespace, &name.uid, &spec.runtime_handler].map(String::len);
    sum(texts.into_iter().chain(pairs(&spec.labels)).chain(pairs(&spec.annotations)))
}

/// What an entry of a container takes, and its status, which shows more.
pub(crate) fn of_container(spec: &ContainerSpec) -> u64 {
    let texts = [&spec.metadata.name, &spec.image, &spec.user_specified_image].map(String::len);
    let path = |path: &Path| path.as_os_str().len();
    let mounts = spec.mounts.iter().flat_map(|mount| [path(&mount.container_path), of_source(&mount.source) + FRAME]);
    let maps = [&spec.labels, &spec.annotations, &spec.image_annotations];
    sum(texts.into_iter().chain(mounts).chain(maps.into_iter().flat_map(pairs)))
}

fn of_source(source: &MountSource) -> usize {
    match source {
        MountSource::Host(path) => path.as_os_str().len(),
        MountSource::Image(ImageSource { reference, user_specified_image, annotations, sub_path }) => {
            let texts = [reference.len(), user_specified_image.len(), sub_path.as_os_str().len(), IMAGE_ID];
            texts.into_iter().chain(pairs(annotations)).map(|length| length + FRAME).sum()
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = usize> {
    map.iter().flat_map(|(key, value)| [key.len(), value.len()])
}

fn sum(texts: impl Iterator<Item = usize>) -> u64 {
    let bytes = texts.fold(FIXED, |sum, length| sum.saturating_add(length + FRAME));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_counted_and_nothing_is_added_beyond_the_limit() {
        let (listed, none) = (Listed::new(10_000), Snapshot::default());
        let recorded = listed.recorded(9_000);
        let last = listed.reserve("pod a/b", 1_000, &none).unwrap();
        let refused = listed.reserve("pod a/c", 1, &none).unwrap_err().to_string();
        assert!(refused.contains("pod a/c") && refused.contains("10000"), "{refused}");
        drop(last);
        listed.reserve("pod a/c", 1, &none).unwrap();
        let more = listed.recorded(9_000);
        drop(recorded);
        listed.reserve("pod a/d", 1_001, &none).unwrap_err();
        drop(more);
        listed.reserve("pod a/d", 10_000, &none).unwrap();
    }

    #[test]
    fn one_entry_has_a_bound_of_its_own() {
        let listed = Listed::new(u64::MAX);
        let refused = listed.reserve("pod", LISTED_ENTRY + 1, &Snapshot::default()).unwrap_err();
        assert!(matches!(refused, Error::Invalid { .. }), "{refused}");
    }
}
