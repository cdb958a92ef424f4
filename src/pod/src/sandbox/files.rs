//! The files that a pod's containers share: hostname, hosts, resolv.conf, and what is in /dev/shm.
//!
//! Containers may write all of them, so they are on a tmpfs of the pod's own: who fills it takes room from nobody else.

use std::fmt::Write;
use std::fs::Permissions;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use peapod_spec::pod::{DnsConfig, Namespaces, PodSpec, Scope};
use peapod_spec::{PodFiles, UserNamespace};

use crate::bounds;
use crate::shim::Tmpfs;

/// The tmpfs in a pod's folder.
const FILES: &str = "files";

/// Which files of a pod's folder its containers get.
pub(crate) fn of(pod_dir: &Path, spec: &PodSpec) -> PodFiles {
    let own = pod_dir.join(FILES);
    // A pod of peapod 0.1 has them in its folder, and a tmpfs for /dev/shm alone.
    let dir = if own.is_dir() { &own } else { pod_dir };
    PodFiles {
        hostname: Some(dir.join("hostname")),
        hosts: Some(dir.join("hosts")),
        resolv_conf: Some(dir.join("resolv.conf")),
        shm: (spec.namespaces.ipc == Scope::Pod).then(|| dir.join("shm")),
    }
}

/// The tmpfs that the shim mounts for them.
pub(super) fn mount(pod_dir: &Path, spec: &PodSpec) -> Tmpfs {
    let (kib, inodes) = match spec.namespaces.ipc {
        Scope::Pod => (bounds::POD_FILES_KIB + bounds::POD_SHM_KIB, bounds::POD_SHM_INODES),
        Scope::Node => (bounds::POD_FILES_KIB, bounds::POD_FILES_INODES),
    };
    Tmpfs { target: pod_dir.join(FILES), kib, inodes, label: None }
}

/// What is written into the files.
pub(super) struct Contents {
    hostname: String,
    ips: Vec<IpAddr>,
    dns: Option<DnsConfig>,
    namespaces: Namespaces,
}

/// Makes root of a pod with users of its own the owner of what its containers see.
fn give(path: &Path, namespaces: &Namespaces) -> io::Result<()> {
    let Some((uid, gid)) = namespaces.users.map(UserNamespace::root) else { return Ok(()) };
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

impl Contents {
    /// For a pod with that hostname and those addresses.
    pub(super) fn of(spec: &PodSpec, hostname: &str, ips: &[IpAddr]) -> Self {
        let (hostname, ips) = (hostname.to_owned(), ips.to_vec());
        Self { hostname, ips, dns: spec.dns.clone(), namespaces: spec.namespaces.clone() }
    }

    /// Writes the files, once the tmpfs is there. Reads some of the node's, so it may have to wait for a disk.
    pub(super) fn write(&self, pod_dir: &Path) -> io::Result<()> {
        let dir = pod_dir.join(FILES);
        let write = |name: &str, text: String| {
            let file = dir.join(name);
            std::fs::write(&file, text)?;
            give(&file, &self.namespaces)
        };
        write("hostname", format!("{}\n", self.hostname))?;
        let hosts = match self.namespaces.network {
            Scope::Node => node_file("/etc/hosts")?,
            Scope::Pod => hosts(&self.hostname, &self.ips),
        };
        write("hosts", hosts)?;
        let resolv_conf = match &self.dns {
            Some(dns) => resolv_conf(dns),
            None => node_file("/etc/resolv.conf")?,
        };
        write("resolv.conf", resolv_conf)?;
        if self.namespaces.ipc == Scope::Pod {
            let shm = dir.join("shm");
            std::fs::create_dir(&shm)?;
            // Everybody's, as /tmp is, whatever the daemon's umask.
            std::fs::set_permissions(&shm, Permissions::from_mode(0o1777))?;
            give(&shm, &self.namespaces)?;
        }
        Ok(())
    }
}

/// A file of the node, empty where the node has none.
fn node_file(path: &str) -> io::Result<String> {
    use io::Read;
    let mut bytes = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(bounds::NODE_FILE_BYTES).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn hosts(hostname: &str, ips: &[IpAddr]) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    if !hostname.is_empty() {
        for ip in ips {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{ip}\t{hostname}");
        }
    }
    text
}

/// resolv.conf(5).
fn resolv_conf(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        let _ = writeln!(text, "search {}", dns.searches.join(" "));
    }
    for server in &dns.servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    if !dns.options.is_empty() {
        let _ = writeln!(text, "options {}", dns.options.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_becomes_lines() {
        let dns = DnsConfig {
            servers: vec!["10.10.10.10".into(), "fd00::1".into()],
            searches: vec!["google.com".into(), "local".into()],
            options: vec!["ndots:8".into()],
        };
        assert_eq!(
            resolv_conf(&dns),
            "search google.com local\nnameserver 10.10.10.10\nnameserver fd00::1\noptions ndots:8\n"
        );
        assert_eq!(resolv_conf(&DnsConfig::default()), "");
    }

    #[test]
    fn hosts_name_the_pod_at_each_address() {
        let ips = ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        assert!(hosts("web", &ips).ends_with("10.0.0.2\tweb\nfd00::2\tweb\n"));
        assert!(!hosts("", &ips).contains("10.0.0.2"));
    }
}
