//! The default filter.

use oci_spec::runtime::LinuxSeccomp;

use crate::capabilities::CapabilitySet;
use crate::inputs::Arch;

/// What `RuntimeDefault` means for a container with these capabilities.
pub fn default_seccomp(_arch: Arch, _capabilities: CapabilitySet) -> LinuxSeccomp {
    LinuxSeccomp::default()
}
