//! System call filters: our own default, and the node's files.

mod default;
pub(crate) mod localhost;
mod tables;

use oci_spec::runtime::LinuxSeccomp;

pub use default::default_seccomp;

use crate::SpecError;
use crate::capabilities::CapabilitySet;
use crate::container::SeccompProfile;
use crate::inputs::Inputs;

/// The filter of a container. A privileged one has none, whatever it asks for.
pub(crate) fn profile(inputs: &Inputs<'_>, granted: CapabilitySet) -> Result<Option<LinuxSeccomp>, SpecError> {
    let security = &inputs.container.security;
    if security.privileged {
        return Ok(None);
    }
    match &security.seccomp {
        None | Some(SeccompProfile::Unconfined) => Ok(None),
        Some(SeccompProfile::RuntimeDefault) => default_seccomp(inputs.node.arch, granted).map(Some),
        Some(SeccompProfile::Localhost(path)) => {
            let text = inputs.profiles.localhost_seccomp.ok_or_else(|| SpecError::SeccompMissing(path.clone()))?;
            localhost::parse(path, text).map(Some)
        }
    }
}
