//! Where pods' cgroups are: on version 1 or 2, made by runtimes or by systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Container, Programs};

const ROOT: &str = "/sys/fs/cgroup";

/// Who makes cgroups in this run: `cgroupfs` or `systemd`, as PEAPOD_CGROUP_DRIVER says.
#[must_use]
pub fn driver() -> &'static str {
    &Programs::get().cgroup_driver
}

/// Whether systemd makes them.
#[must_use]
pub fn by_systemd() -> bool {
    driver() == "systemd"
}

/// A parent's path below another one, or below the root (empty), as a client names it.
#[must_use]
pub fn parent(above: &str, name: &str) -> String {
    if !by_systemd() {
        return format!("{above}/{name}");
    }
    match above.rsplit('/').next().and_then(|slice| slice.strip_suffix(".slice")) {
        Some(prefix) => format!("{above}/{prefix}-{name}.slice"),
        None => format!("/{name}.slice"),
    }
}

/// The directories of a cgroup, one in each hierarchy that has it.
#[must_use]
pub fn dirs(path: &str) -> Vec<PathBuf> {
    let mut roots = vec![PathBuf::from(ROOT)];
    roots.extend(fs::read_dir(ROOT).into_iter().flatten().flatten().map(|entry| entry.path()));
    let below = path.trim_start_matches('/');
    roots.into_iter().map(|root| root.join(below)).filter(|dir| dir.is_dir()).collect()
}

/// Whether the groups are version 2 alone.
#[must_use]
pub fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Ends a parent that a test made up, as its client would.
pub fn remove_parent(path: &str) {
    if let Some(slice) = path.rsplit('/').next().filter(|name| name.ends_with(".slice")) {
        let _ = systemctl(&["stop", slice]);
    }
    for dir in dirs(path) {
        let _ = fs::remove_dir(dir);
    }
}

/// What systemctl says; nothing where it is not.
#[must_use]
pub fn systemctl(arguments: &[&str]) -> String {
    let output = Command::new("systemctl").args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    entries.into_iter().find_map(|path| if path.ends_with(name) { Some(path) } else { find(&path, name) })
}

impl Container<'_> {
    /// The directory of its cgroup in a hierarchy (version 1), or the only one (version 2).
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn cgroup_dir(&self, controller: &str) -> PathBuf {
        let root = Path::new(ROOT).join(controller);
        let root = if root.is_dir() { root } else { PathBuf::from(ROOT) };
        find(&root, &self.cgroup_name()).unwrap_or_else(|| panic!("no cgroup of {} under {}", self.id, root.display()))
    }

    /// The name of its own cgroup, the last element of the path.
    #[must_use]
    pub fn cgroup_name(&self) -> String {
        if by_systemd() { format!("cri-containerd-{}.scope", self.id) } else { self.id.clone() }
    }
}
