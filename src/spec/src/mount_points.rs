//! Where in a container something may be mounted.

use std::path::Path;

use crate::container::ContainerSpec;

/// Where every container has file systems of the kernel.
const SYSTEM: [&str; 3] = ["/proc", "/dev", "/sys"];
/// Not the root itself, and nothing where the kernel's file systems are mounted.
pub(crate) fn can_be_folder(path: &Path) -> bool {
    path.parent().is_some() && !SYSTEM.iter().any(|system| path.starts_with(system))
}

/// Whether a mount of the client is there or above.
pub(crate) fn is_below_a_mount(container: &ContainerSpec, path: &Path) -> bool {
    container.mounts.iter().any(|mount| path.starts_with(&mount.container_path))
}
