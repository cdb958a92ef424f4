//! The pod's user namespace, and what of its containers belongs to the users in it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};

use peapod_shim_protocol::extension::Ids;
use rustix::fs::{Gid, Uid, fchown};

use crate::error::Error;
use crate::stdio::Null;

/// Users and groups of the pod's own.
#[derive(Debug)]
pub(crate) struct PodUsers {
    pub(crate) namespace: OwnedFd,
    pub(crate) uids: Ids,
    pub(crate) gids: Ids,
}

/// The pod's; none as long as it has the node's.
pub(crate) type PodUsersCell = Arc<OnceLock<PodUsers>>;

impl PodUsers {
    /// Path of the namespace, which stays valid while the shim lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Root of the pod, as the node's user and group.
    pub(crate) fn root(&self) -> (u32, u32) {
        (self.uids.first, self.gids.first)
    }

    /// Whether a mount's options say these ids. containerd writes them so for its own mounts.
    pub(crate) fn are_mapped_by<'a>(&self, mut options: impl Iterator<Item = &'a str>) -> bool {
        let (uids, gids) = (option(UIDS, &self.uids), option(GIDS, &self.gids));
        options.all(|option| option == uids || option == gids)
    }
}

const UIDS: &str = "uidmap=";
const GIDS: &str = "gidmap=";

fn option(name: &str, ids: &Ids) -> String {
    format!("{name}0:{}:{}", ids.first, ids.count)
}

/// Whether an option of a mount is about owners.
pub(crate) fn is_mapping(option: &str) -> bool {
    option.starts_with(UIDS) || option.starts_with(GIDS)
}

/// What processes of the pod are given for their streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamGiver<'a> {
    pub(crate) null: &'a Null,
    /// Root of a pod with users of its own: with another owner, nobody in there could open `/dev/stdout` anew.
    pub(crate) owner: Option<(u32, u32)>,
}

impl StreamGiver<'_> {
    /// A stream that leads nowhere.
    pub(crate) fn nothing(&self) -> Result<Stdio, Error> {
        self.null.stream().map_err(Error::io("open", std::path::Path::new("/dev/null")))
    }

    /// A pipe's or FIFO's end.
    pub(crate) fn give(&self, end: OwnedFd) -> Result<Stdio, Error> {
        if let Some((uid, gid)) = self.owner {
            let given = fchown(end.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            given.map_err(Error::errno("change the owner of", std::path::Path::new("a pipe")))?;
        }
        Ok(end.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pods_own_mapping_is_one() {
        let of = |first, count| Ids { first, count, ..Ids::default() };
        let namespace = std::fs::File::open("/proc/self/ns/user").unwrap().into();
        let users = PodUsers { namespace, uids: of(1000, 10), gids: of(2000, 20) };
        assert!(users.are_mapped_by(["uidmap=0:1000:10", "gidmap=0:2000:20"].into_iter()));
        for other in ["uidmap=0:1000:11", "gidmap=0:1000:10", "uidmap=1:1000:10", "uidmap="] {
            assert!(is_mapping(other) && !users.are_mapped_by([other].into_iter()), "{other}");
        }
        assert!(!is_mapping("workdir=/x/uidmap="));
    }
}
