//! Groups that a container divides further by itself (cgroup v2).

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use peapod_sys::mountinfo::{Mounts, TABLE};

use crate::bounds::{DELEGATED_DEPTH, DELEGATED_GROUPS};
use crate::{Cgroup, GroupError, Hierarchy, files};

/// Names of the files that whoever a group is delegated to may write.
const DELEGATED: &str = "/sys/kernel/cgroup/delegate";
/// What the kernel names there is some hundred bytes.
const DELEGATED_BYTES: u64 = 4096;
/// Those of every kernel with version 2.
const USUAL: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];
/// With this option of the mount a cgroup namespace is a border: limits of its root can't be written from inside.
const BORDER: &str = "nsdelegate";

/// Why containers can't have groups of their own to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDelegation {
    /// Version 1: whoever may write a group may write its limits.
    #[error("needs cgroup v2 alone, and at {} there is none: on v1 a container could write its own limits", .0.display())]
    NotV2(PathBuf),
    /// Limits of a container's own group could be written from inside.
    #[error(
        "needs cgroup2 to be mounted with {BORDER} at {path}, or a container could write its own limits: systemd mounts \
         it so, and `mount -o remount,{BORDER} {path}` does", path = .0.display()
    )]
    NoBorder(PathBuf),
    /// The table of mounts.
    #[error("can't be: {0}")]
    Unknown(String),
}

/// Whether containers may write the groups below their own, and not their limits.
///
/// # Errors
/// They may not, and why.
pub fn check_delegation(root: &Path) -> Result<(), NoDelegation> {
    if !Hierarchy::detect(root).is_ok_and(|hierarchy| hierarchy.is_v2()) {
        return Err(NoDelegation::NotV2(root.to_owned()));
    }
    let unknown = |error: std::io::Error| NoDelegation::Unknown(format!("{TABLE}: {error}"));
    let mut mounts = Mounts::open().map_err(unknown)?;
    let mut is_border = false;
    // The last one at that place is what is seen there.
    while let Some(mount) = mounts.next_mount().map_err(unknown)? {
        if mount.target() == root {
            is_border = has_border(&mount.file_system_options().to_string_lossy());
        }
    }
    if is_border { Ok(()) } else { Err(NoDelegation::NoBorder(root.to_owned())) }
}

fn has_border(options: &str) -> bool {
    options.split(',').any(|option| option == BORDER)
}

impl Hierarchy {
    /// Whether containers may write the groups below their own, and not their limits: now, for a mount of cgroup2 that
    /// leaves the option out takes it from the whole node.
    ///
    /// # Errors
    /// They may not, and why.
    pub fn check_delegation(&self) -> Result<(), NoDelegation> {
        check_delegation(self.main_dir())
    }
}

impl Cgroup {
    /// Moves a process, the only one of the group, into a new group `leaf` below it, and makes `owner` the one who may
    /// divide the group further. What is limited stays limited by the group itself, and so is how many groups there
    /// may be below.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn delegate(&self, leaf: &str, owner: (u32, u32), pid: u32) -> Result<(), GroupError> {
        let dir = self.files().main_dir();
        let below = dir.join(leaf);
        // Groups are memory of the kernel, and memory cgroups are few on a node. Like other limits these can't be
        // written from inside.
        files::write(&dir.join("cgroup.max.descendants"), &DELEGATED_GROUPS.to_string())?;
        files::write(&dir.join("cgroup.max.depth"), &DELEGATED_DEPTH.to_string())?;
        match fs::create_dir(&below) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(GroupError::of("make", &below)(error));
            }
            _ => {}
        }
        let procs = below.join("cgroup.procs");
        files::write(&procs, &pid.to_string())?;
        if owner == (0, 0) {
            return Ok(());
        }
        let names = delegated();
        for group in [&dir, &below] {
            give(group, owner)?;
            for file in names.iter().map(|name| group.join(name)).filter(|file| file.exists()) {
                give(&file, owner)?;
            }
        }
        Ok(())
    }
}

fn give(path: &Path, (uid, gid): (u32, u32)) -> Result<(), GroupError> {
    chown(path, Some(uid), Some(gid)).map_err(GroupError::of("give away", path))
}

/// As this kernel says it.
fn delegated() -> Vec<String> {
    let mut text = String::new();
    let read = fs::File::open(DELEGATED).and_then(|file| file.take(DELEGATED_BYTES).read_to_string(&mut text));
    let told = || text.lines().filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect();
    if read.is_ok() { told() } else { USUAL.map(str::to_owned).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_is_an_option_of_its_own() {
        assert!(has_border("rw,nsdelegate,memory_recursiveprot") && has_border("nsdelegate"));
        assert!(!has_border("rw,memory_recursiveprot") && !has_border("rw,no_nsdelegate") && !has_border(""));
    }

    #[test]
    fn what_is_no_v2_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = check_delegation(dir.path()).unwrap_err();
        assert_eq!(error, NoDelegation::NotV2(dir.path().to_owned()));
        assert!(error.to_string().contains("cgroup v2"));
    }

    #[test]
    fn what_is_given_away_has_bounds_first() {
        let dir = tempfile::tempdir().unwrap();
        let (group, leaf) = (crate::tests::of_folder(dir.path()), dir.path().join("init"));
        group.delegate("init", (0, 0), 7).unwrap_err();
        assert!(!leaf.exists());
        for (file, bound) in [("cgroup.max.descendants", DELEGATED_GROUPS), ("cgroup.max.depth", DELEGATED_DEPTH)] {
            fs::write(dir.path().join(file), "").unwrap();
            let _ = group.delegate("init", (0, 0), 7);
            assert_eq!(fs::read_to_string(dir.path().join(file)).unwrap(), bound.to_string());
        }
        fs::write(leaf.join("cgroup.procs"), "").unwrap();
        group.delegate("init", (0, 0), 7).unwrap();
        assert_eq!(fs::read_to_string(leaf.join("cgroup.procs")).unwrap(), "7");
    }

    #[test]
    fn the_kernel_names_files() {
        assert!(USUAL.iter().all(|name| delegated().contains(&(*name).to_owned())));
    }
}
