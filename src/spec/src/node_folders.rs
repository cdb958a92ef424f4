//! Folders of the node whose files may not get a container's SELinux label: the node would not come up again, its users
//! could not log in, or anybody could.

use std::path::Path;

/// They themselves; what is in them may be a container's.
const ALONE: [&str; 21] = [
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/local/libexec",
    "/usr/local/sbin",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/tmp",
];
/// With all that is in them.
const WHOLE: [&str; 19] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run/peapod",
    "/run/systemd",
    "/run/udev",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/kubelet",
    "/var/lib/peapod",
    "/var/lib/systemd",
    "/var/run",
    "/var/spool/cron",
];
/// But for what is below these.
const NOT_WITH_THEM: [&str; 2] = ["/usr/local", "/var/lib/kubelet/pods"];
/// Folders by which somebody logs in, wherever they are.
const KEYS: &str = ".ssh";

/// Whether a tree of the node may be labelled for a container. Its path has no symbolic links.
pub(crate) fn may_relabel(path: &Path) -> bool {
    let of = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
    let alone = ALONE.iter().any(|folder| path == Path::new(folder));
    let below = NOT_WITH_THEM.iter().any(|folder| path.starts_with(folder) && path != Path::new(folder));
    // A user's own folder, with the keys by which he logs in.
    let home = path.parent() == Some(Path::new("/home"));
    let keys = path.components().any(|part| part.as_os_str() == KEYS);
    !(alone || home || keys || (of(&WHOLE) && !below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_own_folders_keep_their_labels() {
        for path in [
            "/",
            "/etc",
            "/etc/ssh",
            "/usr",
            "/usr/lib/systemd",
            "/usr/lib64/security",
            "/usr/bin/sudo",
            "/usr/libexec/peapod",
            "/usr/local",
            "/usr/local/bin",
            "/home",
            "/home/alice",
            "/home/alice/.ssh",
            "/home/alice/.ssh/authorized_keys",
            "/root",
            "/root/.ssh",
            "/run/peapod",
            "/run/systemd/system",
            "/var/lib",
            "/var/lib/kubelet",
            "/var/lib/kubelet/pki",
            "/var/lib/kubelet/pods",
            "/var/lib/peapod/layers",
        ] {
            assert!(!may_relabel(Path::new(path)), "{path}");
        }
        for path in [
            "/data",
            "/home/alice/site",
            "/root/site",
            "/run/site",
            "/usr/local/site",
            "/usr/local/share/site",
            "/var/lib/kubelet/pods/u/volumes/v",
            "/var/lib/peapod-run/u",
            "/var/lib/postgresql",
        ] {
            assert!(may_relabel(Path::new(path)), "{path}");
        }
    }
}
