//! Making namespaces. A short-lived thread does it, so that the shim itself stays where it is; a descriptor keeps each
//! of them.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};

use super::sysctl::{self, Scopes};
use crate::error::Error;

/// What is wanted.
pub(crate) struct Plan {
    /// Absent: the node's network.
    pub(crate) netns: Option<PathBuf>,
    pub(crate) new_uts: bool,
    pub(crate) new_ipc: bool,
    /// Empty: as it is.
    pub(crate) hostname: String,
    pub(crate) sysctls: Vec<(String, String)>,
}

/// What was made.
#[derive(Debug)]
pub(crate) struct MadeNamespaces {
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

fn inside(plan: &Plan) -> Result<MadeNamespaces, Error> {
    if let Some(netns) = &plan.netns {
        let fd = File::open(netns).map_err(Error::io("open network namespace", netns))?;
        let fail = |errno: nix::errno::Errno| Error::io("enter network namespace", netns)(errno.into());
        setns(fd, CloneFlags::CLONE_NEWNET).map_err(fail)?;
    }
    let mut flags = CloneFlags::empty();
    flags.set(CloneFlags::CLONE_NEWUTS, plan.new_uts);
    flags.set(CloneFlags::CLONE_NEWIPC, plan.new_ipc);
    unshare(flags).map_err(|errno| Error::io("make", Path::new("namespaces"))(errno.into()))?;
    if plan.new_uts && !plan.hostname.is_empty() {
        sysctl::write("kernel.hostname", &plan.hostname)?;
    }
    for (name, value) in &plan.sysctls {
        sysctl::write(name, value)?;
    }
    let keep = |made: bool, name: &str| {
        let path = PathBuf::from("/proc/thread-self/ns").join(name);
        made.then(|| File::open(&path).map(OwnedFd::from).map_err(Error::io("open", &path))).transpose()
    };
    Ok(MadeNamespaces { ipc: keep(plan.new_ipc, "ipc")?, uts: keep(plan.new_uts, "uts")? })
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
    fn refuses_sysctls_of_the_node_and_unknown_ones() {
        for name in ["vm.swappiness", "net.ipv4.ip_forward", "kernel.panic", "kernel.../../x", "kernel.shmfoo"] {
            let error = make(&plan(&[(name, "1")])).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
