//! The images of the local registry (tests/images).

use crate::Programs;

/// busybox with a shell.
pub const SHELL: &str = "peapod/shell:1";
/// nginx on port 80.
pub const WEB: &str = "peapod/web:1";
/// Owners, modes, links, devices and extended attributes under /meta.
pub const METADATA: &str = "peapod/test-metadata:1";

/// The full reference of an image of the local registry; what names a registry already is left alone.
#[must_use]
pub fn fixture(name: &str) -> String {
    if name.starts_with("peapod/") { format!("{}/{name}", Programs::get().registry) } else { name.to_owned() }
}
