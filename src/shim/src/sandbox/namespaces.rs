//! Making namespaces. A short-lived thread does it, so that the shim itself stays where it is; a descriptor keeps each
//! of them.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use peapod_shim_protocol::extension::Ids;
use peapod_sys::in_new_namespaces;

use super::sysctl::{self, Scopes};
use crate::error::Error;
use crate::proc;
use crate::users::PodUsers;

/// What is wanted.
pub(crate) struct Plan {
    /// Absent: the node's network.
    pub(crate) netns: Option<PathBuf>,
    pub(crate) new_uts: bool,
    pub(crate) new_ipc: bool,
    /// Empty: as it is.
    pub(crate) hostname: String,
    pub(crate) sysctls: Vec<(String, String)>,
    /// Made before, in a user namespace: then these are the pod's, and nothing else is made.
    pub(crate) made: Option<MadeNamespaces>,
    /// The node's user who is root in there.
    pub(crate) root: Option<u32>,
}

/// What was made.
#[derive(Debug, Default)]
pub(crate) struct MadeNamespaces {
    /// Only one that belongs to a user namespace.
    pub(crate) network: Option<OwnedFd>,
    pub(crate) ipc: Option<OwnedFd>,
    pub(crate) uts: Option<OwnedFd>,
}

/// Makes them, sets the host name and the sysctls in them.
pub(crate) fn make(plan: &Plan) -> Result<MadeNamespaces, Error> {
    let own = Scopes { network: plan.netns.is_some(), uts: plan.new_uts, ipc: plan.new_ipc };
    for (name, _) in &plan.sysctls {
        sysctl::check(name, own)?;
    }
    let thread = std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("namespaces".to_owned())
            .spawn_scoped(scope, || inside(plan))
            .map(std::thread::ScopedJoinHandle::join)
    });
    match thread.map_err(Error::io("start a thread for", Path::new("namespaces")))? {
        Ok(made) => made,
        Err(_) => Err(Error::Io {
            action: "make",
            path: PathBuf::from("namespaces"),
            source: std::io::Error::other("the thread ended early"),
        }),
    }
}

/// Makes a user namespace, and inside it those of these kinds.
pub(crate) fn make_with_users(uids: Ids, gids: Ids, kinds: CloneFlags) -> Result<(PodUsers, MadeNamespaces), Error> {
    let made = in_new_namespaces(CloneFlags::CLONE_NEWUSER | kinds, |pid| {
        let process = proc::path(pid);
        for (map, ids) in [("uid_map", &uids), ("gid_map", &gids)] {
            std::fs::write(process.join(map), format!("0 {} {}", ids.first, ids.count))?;
        }
        let open = |name: &str| File::open(process.join("ns").join(name)).map(OwnedFd::from);
        let keep = |kind, name| kinds.contains(kind).then(|| open(name)).transpose();
        let made = MadeNamespaces {
            network: keep(CloneFlags::CLONE_NEWNET, "net")?,
            ipc: keep(CloneFlags::CLONE_NEWIPC, "ipc")?,
            uts: keep(CloneFlags::CLONE_NEWUTS, "uts")?,
        };
        Ok((open("user")?, made))
    });
    let (namespace, made) = made.map_err(|error| {
        let error = match error.raw_os_error() {
            Some(libc::ENOSPC) => std::io::Error::other("no more are allowed: see user.max_user_namespaces (sysctl)"),
            _ => error,
        };
        Error::io("make", Path::new("a user namespace"))(error)
    })?;
    Ok((PodUsers { namespace, uids, gids }, made))
}

fn inside(plan: &Plan) -> Result<MadeNamespaces, Error> {
    if let Some(netns) = &plan.netns {
        let fd = File::open(netns).map_err(Error::io("open network namespace", netns))?;
        let fail = |errno: nix::errno::Errno| Error::io("enter network namespace", netns)(errno.into());
        setns(fd, CloneFlags::CLONE_NEWNET).map_err(fail)?;
    }
    match &plan.made {
        Some(made) => join(plan, made)?,
        None => {
            let mut flags = CloneFlags::empty();
            flags.set(CloneFlags::CLONE_NEWUTS, plan.new_uts);
            flags.set(CloneFlags::CLONE_NEWIPC, plan.new_ipc);
            unshare(flags).map_err(|errno| Error::io("make", Path::new("namespaces"))(errno.into()))?;
        }
    }
    if plan.new_uts && !plan.hostname.is_empty() {
        sysctl::write("kernel.hostname", &plan.hostname, None)?;
    }
    for (name, value) in &plan.sysctls {
        sysctl::write(name, value, plan.root)?;
    }
    let keep = |made: bool, name: &str| {
        let path = PathBuf::from("/proc/thread-self/ns").join(name);
        made.then(|| File::open(&path).map(OwnedFd::from).map_err(Error::io("open", &path))).transpose()
    };
    Ok(MadeNamespaces { network: None, ipc: keep(plan.new_ipc, "ipc")?, uts: keep(plan.new_uts, "uts")? })
}

/// Why owners can't be mapped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MapOwnersError {
    /// The file system can't do it.
    #[error(transparent)]
    FileSystem(Error),
    /// Something of the node's that may change: a limit, memory.
    #[error(transparent)]
    Node(#[from] Error),
}

/// Whether a folder's file system can show its files with the owners of a user namespace, and the node makes such ones.
pub(crate) fn try_to_map_owners(folder: &Path) -> Result<(), MapOwnersError> {
    const FIRST: u32 = 65_536;
    let ids = || Ids { first: FIRST, count: FIRST, ..Ids::default() };
    let (users, _) = make_with_users(ids(), ids(), CloneFlags::empty())?;
    peapod_sys::mapped(folder, &users.namespace).map(drop).map_err(|error| {
        let why = Error::io("use", folder)(peapod_sys::unmappable(&error, folder));
        match error.raw_os_error() {
            Some(libc::EINVAL) => MapOwnersError::FileSystem(why),
            _ => MapOwnersError::Node(why),
        }
    })
}

/// Enters what was made before. Of another user namespace there is nothing to be made.
fn join(plan: &Plan, made: &MadeNamespaces) -> Result<(), Error> {
    let kinds = [
        (plan.new_uts, &made.uts, CloneFlags::CLONE_NEWUTS, "UTS namespace"),
        (plan.new_ipc, &made.ipc, CloneFlags::CLONE_NEWIPC, "IPC namespace"),
    ];
    for (wanted, made, kind, name) in kinds {
        if wanted {
            let missing = || Error::Invalid { field: "options", why: format!("ask for a {name}, and none was made") };
            let entered = setns(made.as_ref().ok_or_else(missing)?, kind);
            entered.map_err(|errno| Error::io("enter", Path::new(name))(errno.into()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sysctls: &[(&str, &str)]) -> Plan {
        Plan {
            netns: None,
            new_uts: true,
            new_ipc: true,
            hostname: "pea".to_owned(),
            sysctls: sysctls.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            made: None,
            root: None,
        }
    }

    /// Needs root.
    #[test]
    #[ignore = "needs root"]
    fn makes_namespaces_apart_from_ours() {
        let own = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let made = make(&plan(&[("kernel.shm_rmid_forced", "1"), ("kernel.msgmax", "4096")])).unwrap();
        assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), own);
        let seen = std::thread::scope(|scope| {
            let look = || {
                setns(made.uts.as_ref().unwrap(), CloneFlags::CLONE_NEWUTS).unwrap();
                setns(made.ipc.as_ref().unwrap(), CloneFlags::CLONE_NEWIPC).unwrap();
                ["hostname", "msgmax"].map(|name| std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap())
            };
            scope.spawn(look).join().unwrap()
        });
        assert_eq!(seen, ["pea\n", "4096\n"]);
    }

    #[test]
    #[ignore = "needs root"]
    fn a_file_system_without_owners_is_told_from_other_hindrances() {
        let tried = |folder: &str| try_to_map_owners(Path::new(folder)).unwrap_err();
        assert!(matches!(tried("/proc/self"), MapOwnersError::FileSystem(_)));
        assert!(matches!(tried("/nowhere"), MapOwnersError::Node(_)));
    }

    #[test]
    #[ignore = "needs root"]
    fn refuses_sysctls_of_the_node_and_unknown_ones() {
        for name in ["vm.swappiness", "net.ipv4.ip_forward", "kernel.panic", "kernel.../../x", "kernel.shmfoo"] {
            let error = make(&plan(&[(name, "1")])).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
