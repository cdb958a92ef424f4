//! Mounts and devices of a container.

use std::path::PathBuf;

use peapod_api::v1;
use peapod_spec::bounds::{DEVICES, MOUNTS};
use peapod_spec::container::{ContainerMount, Device, Propagation};
use peapod_text::excerpt;

use super::field::{Checked, FieldError, any_absolute_path, at_most, known, not_empty};

/// Checks all mounts, in the client's order.
pub(super) fn mounts(mounts: Vec<v1::Mount>) -> Checked<Vec<ContainerMount>> {
    at_most("mounts", "entries", mounts.len(), MOUNTS)?;
    let check = |(index, message)| mount(message).map_err(|error| error.within(&format!("mounts[{index}]")));
    mounts.into_iter().enumerate().map(check).collect()
}

fn mount(message: v1::Mount) -> Checked<ContainerMount> {
    if message.image.is_some_and(|image| !image.image.is_empty()) {
        return Err(FieldError::unsupported("image", "image volumes are not supported yet"));
    }
    if !message.uid_mappings.is_empty() || !message.gid_mappings.is_empty() {
        return Err(FieldError::unsupported("uidMappings", "user namespaces are not supported yet"));
    }
    if !message.mount_options.is_empty() {
        return Err(FieldError::unsupported("mount_options", "is not supported yet"));
    }
    let propagation = match known("propagation", message.propagation)? {
        v1::MountPropagation::PropagationPrivate => Propagation::Private,
        v1::MountPropagation::PropagationHostToContainer => Propagation::HostToContainer,
        v1::MountPropagation::PropagationBidirectional => Propagation::Bidirectional,
    };
    if message.recursive_read_only {
        if !message.readonly {
            return Err(FieldError::new("recursive_read_only", "needs readonly"));
        }
        if propagation != Propagation::Private {
            return Err(FieldError::new("recursive_read_only", "needs private propagation"));
        }
    }
    let container_path = any_absolute_path("container_path", not_empty("container_path", message.container_path)?)?;
    if container_path.parent().is_none() {
        return Err(FieldError::new("container_path", "is the container's root, over which nothing can be mounted"));
    }
    Ok(ContainerMount {
        container_path,
        host_path: any_absolute_path("host_path", not_empty("host_path", message.host_path)?)?,
        readonly: message.readonly,
        recursive_read_only: message.recursive_read_only,
        selinux_relabel: message.selinux_relabel,
        propagation,
    })
}

/// The same back, for status: what the client asked for and nothing that peapod added.
pub(crate) fn to_message(mount: &ContainerMount) -> v1::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => v1::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    v1::Mount {
        container_path: mount.container_path.to_string_lossy().into_owned(),
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.readonly,
        selinux_relabel: mount.selinux_relabel,
        propagation: propagation.into(),
        recursive_read_only: mount.recursive_read_only,
        ..v1::Mount::default()
    }
}

/// Checks all devices.
pub(super) fn devices(devices: Vec<v1::Device>) -> Checked<Vec<Device>> {
    at_most("devices", "entries", devices.len(), DEVICES)?;
    let check = |(index, message)| device(message).map_err(|error| error.within(&format!("devices[{index}]")));
    devices.into_iter().enumerate().map(check).collect()
}

fn device(message: v1::Device) -> Checked<Device> {
    let host_path = any_absolute_path("host_path", not_empty("host_path", message.host_path)?)?;
    let container_path: PathBuf = match message.container_path {
        path if path.is_empty() => host_path.clone(),
        path => any_absolute_path("container_path", path)?,
    };
    let permissions = if message.permissions.is_empty() { "rwm".to_owned() } else { message.permissions };
    if permissions.len() > 3 || !permissions.bytes().all(|b| b"rwm".contains(&b)) {
        let reason = format!("{} should be some of the letters r, w and m", excerpt(&permissions));
        return Err(FieldError::new("permissions", reason));
    }
    Ok(Device { container_path, host_path, permissions })
}
