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

/// The namespace through which a root file system or a volume is seen, by those options of a mount that are about
/// owners. containerd writes them so for its own mounts. A pod's is seen with the pod's users or not at all: a master
/// that knows of none would have the container be one of the node's.
pub(crate) fn namespace_of<'a>(users: Option<&'a PodUsers>, mapping: &[String]) -> Result<Option<&'a OwnedFd>, Error> {
    match users {
        None if mapping.is_empty() => Ok(None),
        Some(users) if *mapping == [option(UIDS, &users.uids), option(GIDS, &users.gids)] => Ok(Some(&users.namespace)),
        _ => Err(Error::Invalid { field: "options", why: "do not map the ids that are the pod's own".to_owned() }),
    }
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
        let seen = |users, mapping: &[&str]| {
            let mapping: Vec<_> = mapping.iter().map(|&option| option.to_owned()).collect();
            assert!(mapping.iter().all(|option| is_mapping(option)));
            namespace_of(users, &mapping).map(|namespace| namespace.is_some()).ok()
        };
        assert_eq!(seen(Some(&users), &["uidmap=0:1000:10", "gidmap=0:2000:20"]), Some(true));
        assert_eq!(seen(None, &[]), Some(false));
        assert_eq!(seen(None, &["uidmap=0:1000:10", "gidmap=0:2000:20"]), None);
        for other in
            [&[][..], &["uidmap=0:1000:10"], &["uidmap=0:1000:11", "gidmap=0:2000:20"], &["uidmap=", "gidmap="]]
        {
            assert_eq!(seen(Some(&users), other), None, "{other:?}");
        }
        assert!(!is_mapping("workdir=/x/uidmap="));
    }
}
