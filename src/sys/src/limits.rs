//! Resource limits of processes of pods.

use rustix::process::{Resource, getrlimit};

/// Soft and hard limits of a process for which nothing else is said, `None` for none: what peapod.service has, and for
/// the rest the kernel's own. Pending signals follow the hard limit that the node has.
pub const POD_LIMITS: [(Resource, Option<u64>, Option<u64>); 15] = [
    (Resource::As, None, None),
    (Resource::Core, None, None),
    (Resource::Cpu, None, None),
    (Resource::Data, None, None),
    (Resource::Fsize, None, None),
    (Resource::Locks, None, None),
    (Resource::Memlock, Some(8 << 20), Some(8 << 20)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Nofile, Some(1 << 20), Some(1 << 20)),
    (Resource::Nproc, None, None),
    (Resource::Rss, None, None),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Rttime, None, None),
    (Resource::Stack, Some(8 << 20), None),
];

/// The hard limit that processes of pods have at first where this process can't raise its own; `None`: none.
#[must_use]
pub fn inherited_hard_limit(resource: Resource) -> Option<u64> {
    let own = getrlimit(resource).maximum;
    let given = POD_LIMITS.iter().find(|(of, ..)| *of == resource).and_then(|(_, _, hard)| *hard);
    match (own, given) {
        (Some(own), Some(given)) => Some(own.min(given)),
        (own, given) => own.or(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_processs_own() {
        for resource in [Resource::Nofile, Resource::Core, Resource::Sigpending] {
            let own = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            assert!(inherited_hard_limit(resource).unwrap_or(u64::MAX) <= own, "{resource:?}");
        }
        assert!(inherited_hard_limit(Resource::Memlock).is_some_and(|most| most <= 8 << 20));
    }
}
