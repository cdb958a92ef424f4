//! Kernel parameters of a pod: any, as long as they are the pod's and not the node's.

use std::collections::BTreeMap;

use peapod_spec::bounds::{NAME_BYTES, PATH_BYTES, SYSCTLS};
use peapod_spec::pod::{Namespaces, Scope};
use peapod_text::excerpt;

use super::field::{Checked, FieldError, at_most, short, without_nul};

/// Parameters of the IPC namespace that don't begin with `fs.mqueue.`.
const IPC: [&str; 9] = [
    "kernel.auto_msgmni",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Identifiers of the next object; of the IPC namespace as well.
const IPC_NEXT: [&str; 3] = ["kernel.msg_next_id", "kernel.sem_next_id", "kernel.shm_next_id"];

/// Parameters of the UTS namespace, which goes with the network. The host name has a field of its own.
const UTS: &str = "kernel.domainname";

/// Checks names and owners, and gives all names dots. Whether the kernel knows the name is seen when it is set.
pub(super) fn sysctls(sysctls: BTreeMap<String, String>, namespaces: &Namespaces) -> Checked<BTreeMap<String, String>> {
    at_most("sysctls", "entries", sysctls.len(), SYSCTLS)?;
    let mut checked = BTreeMap::new();
    for (written, value) in sysctls {
        let field = format!("sysctls[{}]", excerpt(&written));
        if written.len() > NAME_BYTES || !is_name(&written) {
            return Err(FieldError::new(field, "is not a dotted name such as net.ipv4.ip_forward"));
        }
        let value = short(&field, without_nul(&field, value)?, PATH_BYTES)?;
        if value.contains(|c: char| c.is_control() && c != '\t') {
            return Err(FieldError::new(field, "has a line feed or another control character in its value"));
        }
        let name = dotted(&written);
        let (scope, space) = if name.starts_with("net.") {
            (Some(namespaces.network), "network")
        } else if name.starts_with("fs.mqueue.") || IPC.contains(&name.as_str()) || IPC_NEXT.contains(&name.as_str()) {
            (Some(namespaces.ipc), "IPC")
        } else if name == UTS {
            (Some(namespaces.network), "name and domain")
        } else {
            (None, "")
        };
        match scope {
            Some(Scope::Pod) => {}
            Some(Scope::Node) => {
                return Err(FieldError::new(field, format!("would change the node: the pod has the node's {space}")));
            }
            None if name == "kernel.hostname" => {
                return Err(FieldError::new(field, "has a field of its own: hostname"));
            }
            None => return Err(FieldError::new(field, "would change the node: it belongs to no namespace of a pod")),
        }
        if checked.insert(name, value).is_some() {
            return Err(FieldError::new(field, "is there twice, once with dots and once with slashes"));
        }
    }
    Ok(checked)
}

/// Parts between separators become folders. The first one tells whether it is the dot or the slash; the other stands
/// for a dot inside of a part (`net.ipv4.conf.eth0/1.rp_filter` is `net/ipv4/conf/eth0.1/rp_filter`).
fn is_name(name: &str) -> bool {
    name.contains(['.', '/'])
        && name.split(['.', '/']).all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'@'))
        })
}

fn dotted(name: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    match name.find(['.', '/']).map(|at| name.as_bytes()[at]) {
        Some(b'/') => name.chars().map(swap).collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, namespaces: &Namespaces) -> bool {
        sysctls(BTreeMap::from([(name.to_owned(), "1".to_owned())]), namespaces).is_ok()
    }

    #[test]
    fn values_are_one_line() {
        for (value, fits) in [("4096\t87380\t6291456", true), ("1 2\n3", false), ("1\r", false), ("1\0", false)] {
            let one = BTreeMap::from([("net.ipv4.tcp_rmem".to_owned(), value.to_owned())]);
            assert_eq!(sysctls(one, &Namespaces::default()).is_ok(), fits, "{value:?}");
        }
    }

    #[test]
    fn only_the_pods_own() {
        let own = Namespaces::default();
        for name in [
            "kernel.shm_rmid_forced",
            "fs.mqueue.msg_max",
            "net.ipv4.conf.eth0/1.rp_filter",
            "net.core.somaxconn",
            "kernel.domainname",
            "kernel/sem",
            "net/ipv4/conf/eth0.1/rp_filter",
        ] {
            assert!(check(name, &own), "{name}");
        }
        for name in [
            "vm.swappiness",
            "kernel.panic",
            "kernel.hostname",
            "net..core",
            "net.ipv4./etc/x",
            "net",
            "net.a/../../x",
            "vm/swappiness",
            "fs.mqueue",
            "kernel/hostname",
            "kernel.shmx",
        ] {
            assert!(!check(name, &own), "{name}");
        }
        let shared = Namespaces { network: Scope::Node, ipc: Scope::Node, ..Namespaces::default() };
        assert!(!check("net.core.somaxconn", &shared));
        assert!(!check("kernel.sem", &shared));
        assert!(!check("kernel.domainname", &shared));
        assert!(!check("kernel/msgmax", &shared));
        let twice =
            BTreeMap::from([("kernel/sem".to_owned(), "1".to_owned()), ("kernel.sem".to_owned(), "1".to_owned())]);
        assert!(sysctls(twice, &own).is_err());
    }
}
