//! Kernel parameters of a pod: any, as long as they are the pod's and not the node's.

use std::collections::BTreeMap;

use peapod_spec::pod::{Namespaces, Scope};

use super::field::{Checked, FieldError, without_nul};

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

/// Checks names and owners. Whether the kernel knows the name is seen when it is set.
pub(super) fn sysctls(sysctls: BTreeMap<String, String>, namespaces: &Namespaces) -> Checked<BTreeMap<String, String>> {
    for (name, value) in &sysctls {
        let field = format!("sysctls[{name:?}]");
        if !is_name(name) {
            return Err(FieldError::new(field, "is not a dotted name such as net.ipv4.ip_forward"));
        }
        without_nul(&field, value.clone())?;
        let (scope, space) = if name.starts_with("net.") {
            (Some(namespaces.network), "network")
        } else if name.starts_with("fs.mqueue.") || IPC.contains(&name.as_str()) || IPC_NEXT.contains(&name.as_str()) {
            (Some(namespaces.ipc), "IPC")
        } else {
            (None, "")
        };
        match scope {
            Some(Scope::Pod) => {}
            Some(Scope::Node) => {
                return Err(FieldError::new(field, format!("would change the node: the pod has the node's {space}")));
            }
            None => return Err(FieldError::new(field, "would change the node: it belongs to no namespace of a pod")),
        }
    }
    Ok(sysctls)
}

/// Parts between dots become folders; a slash stands for a dot inside of a part (`eth0/1`).
fn is_name(name: &str) -> bool {
    name.contains('.')
        && name.split(['.', '/']).all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b':' | b'@'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, namespaces: &Namespaces) -> bool {
        sysctls(BTreeMap::from([(name.to_owned(), "1".to_owned())]), namespaces).is_ok()
    }

    #[test]
    fn only_the_pods_own() {
        let own = Namespaces::default();
        for name in
            ["kernel.shm_rmid_forced", "fs.mqueue.msg_max", "net.ipv4.conf.eth0/1.rp_filter", "net.core.somaxconn"]
        {
            assert!(check(name, &own), "{name}");
        }
        for name in
            ["vm.swappiness", "kernel.panic", "kernel.hostname", "net..core", "net.ipv4./etc/x", "net", "net.a/../../x"]
        {
            assert!(!check(name, &own), "{name}");
        }
        let shared = Namespaces { network: Scope::Node, ipc: Scope::Node, ..Namespaces::default() };
        assert!(!check("net.core.somaxconn", &shared));
        assert!(!check("kernel.sem", &shared));
    }
}
