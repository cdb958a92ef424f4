//! Kernel parameters of a pod's own namespaces. Others belong to the node and are refused.

use std::path::{Path, PathBuf};

use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;

use crate::error::Error;

/// Parameters of an IPC namespace.
const IPC: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];

/// Which namespaces a pod has to itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scopes {
    pub(crate) network: bool,
    pub(crate) uts: bool,
    pub(crate) ipc: bool,
}

/// Whether the name belongs to a namespace that the pod has to itself.
pub(crate) fn check(name: &str, own: Scopes) -> Result<(), Error> {
    let dotted = dotted(name);
    let refuse = |why: &str| Err(Error::Sysctl { name: name.to_owned(), why: why.to_owned() });
    if dotted.split('.').any(str::is_empty) || name.contains("..") || name.contains('\0') {
        return refuse("is no name of a parameter");
    }
    if IPC.iter().any(|prefix| dotted.starts_with(prefix)) || dotted == "kernel.sem" {
        return if own.ipc { Ok(()) } else { refuse("needs an IPC namespace of the pod's own, and it has the node's") };
    }
    if dotted.starts_with("net.") {
        return if own.network { Ok(()) } else { refuse("needs a network of the pod's own, and it has the node's") };
    }
    if matches!(dotted.as_str(), "kernel.hostname" | "kernel.domainname") {
        return if own.uts { Ok(()) } else { refuse("needs a host name of the pod's own, and it has the node's") };
    }
    refuse("belongs to the whole node, not to a pod")
}

/// Sets one in the namespaces of the calling thread. `root` is the user who is root in their user namespace, if that is
/// not the node's: since Linux 6.9 those of an IPC namespace are that one's alone.
pub(crate) fn write(name: &str, value: &str, root: Option<u32>) -> Result<(), Error> {
    let path = path(name);
    let written = match (std::fs::write(&path, value), root) {
        (Err(error), Some(root)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            write_as(root, &path, value).unwrap_or(Err(error))
        }
        (written, _) => written,
    };
    written.map_err(|source| {
        let why = match source.kind() {
            std::io::ErrorKind::NotFound => "is unknown to this kernel".to_owned(),
            _ => format!("can't be set to {value:?}: {source}"),
        };
        Error::Sysctl { name: name.to_owned(), why }
    })
}

/// As another user, which the calling thread alone is for that moment. `None` if it can't be.
fn write_as(user: u32, path: &Path, value: &str) -> Option<std::io::Result<()>> {
    let become_effective = |user: Uid| set_thread_res_uid(Uid::from_raw(u32::MAX), user, Uid::from_raw(u32::MAX));
    become_effective(Uid::from_raw(user)).ok()?;
    let written = std::fs::write(path, value);
    // Back to who it really is.
    become_effective(rustix::process::getuid()).ok()?;
    Some(written)
}

/// Both ways of writing a name are in use: `net.ipv4.conf.eth0/1.x` and `net/ipv4/conf/eth0.1/x`. The first separator
/// tells.
fn dotted(name: &str) -> String {
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => swap(name),
        _ => name.to_owned(),
    }
}

fn path(name: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(swap(&dotted(name)))
}

fn swap(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Scopes, check, path};

    #[test]
    fn knows_both_ways() {
        for name in ["net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter"] {
            assert_eq!(path(name).to_str(), Some("/proc/sys/net/ipv4/conf/eth0.1/rp_filter"));
        }
    }

    #[test]
    fn each_needs_its_namespace() {
        let all = Scopes { network: true, uts: true, ipc: true };
        for (name, without) in [
            ("net.ipv4.ip_forward", Scopes { network: false, ..all }),
            ("net/ipv4/ip_forward", Scopes { network: false, ..all }),
            ("kernel.hostname", Scopes { uts: false, ..all }),
            ("kernel.shm_rmid_forced", Scopes { ipc: false, ..all }),
            ("kernel.sem", Scopes { ipc: false, ..all }),
            ("fs.mqueue.msg_max", Scopes { ipc: false, ..all }),
        ] {
            assert!(check(name, all).is_ok(), "{name}");
            assert!(check(name, without).unwrap_err().to_string().contains(name), "{name}");
        }
        for name in ["vm.swappiness", "kernel.panic", "", "net..x"] {
            assert!(check(name, all).is_err(), "{name}");
        }
    }
}
