//! At the start: the node still has what a container's configuration was made from.
//!
//! Sources of mounts were found without symbolic links. Between create and start a container of the pod may have put
//! one in the place of a folder that it can write to, and the OCI runtime would follow it anywhere; a device's number
//! may belong to another one.

use std::collections::BTreeSet;
use std::path::PathBuf;

use peapod_spec::Config;
use peapod_spec::container::ContainerSpec;

use super::{devices, mounts};
use crate::error::Error;
use crate::id::ContainerId;

/// Looks again at what may have changed, and makes sources of mounts that have vanished. Blocks, for the file system.
///
/// In the places of what was `replaced` there is something else than the client asked for: of that nothing is known.
pub(super) fn verify(
    config: &Config,
    id: &ContainerId,
    spec: &ContainerSpec,
    replaced: &BTreeSet<PathBuf>,
) -> Result<(), Error> {
    if replaced.is_empty() {
        mounts::verify(config, &spec.mounts).map_err(|change| change.into_error(id))?;
        return devices::verify(config, &spec.devices).map_err(|change| change.into_error(id));
    }
    let mounts = spec.mounts.iter().filter(|mount| !replaced.contains(&mount.container_path));
    mounts::verify(config, &mounts.cloned().collect::<Vec<_>>()).map_err(|change| change.into_error(id))?;
    let devices = spec.devices.iter().filter(|device| !replaced.contains(&device.container_path));
    devices::verify(config, &devices.cloned().collect::<Vec<_>>()).map_err(|change| change.into_error(id))
}
