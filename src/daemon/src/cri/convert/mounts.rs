//! Mounts and devices of a container.

use std::path::PathBuf;

use peapod_api::v1;
use peapod_spec::bounds::{DEVICES, IMAGE_MOUNTS, IMAGE_NAME_BYTES, LABELS, MOUNTS};
use peapod_spec::container::{ContainerMount, Device, ImageSource, MountOption, MountSource, Propagation};
use peapod_spec::{IdRange, UserNamespace, normal_path};
use peapod_text::excerpt;

use super::field::{
    Checked, FieldError, absolute_path, any_absolute_path, at_most, known, not_empty, short, without_nul,
};
use super::namespaces;

/// Checks all mounts, in the client's order.
pub(super) fn mounts(mounts: Vec<v1::Mount>) -> Checked<Vec<ContainerMount>> {
    at_most("mounts", "entries", mounts.len(), MOUNTS)?;
    let check = |(index, message)| mount(message).map_err(|error| error.within(&format!("mounts[{index}]")));
    let mounts: Vec<_> = mounts.into_iter().enumerate().map(check).collect::<Checked<_>>()?;
    at_most("mounts", "images", mounts.iter().filter(|mount| mount.image().is_some()).count(), IMAGE_MOUNTS)?;
    Ok(mounts)
}

fn mount(message: v1::Mount) -> Checked<ContainerMount> {
    let users = match (message.uid_mappings.as_slice(), message.gid_mappings.as_slice()) {
        ([], []) => None,
        (uids, gids) => Some(namespaces::user_namespace(uids, gids, ["uidMappings", "gidMappings"])?),
    };
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
    // Some clients send an empty one with a path of the node.
    let source = match message.image.filter(|image| !image.image.is_empty()) {
        Some(image) => {
            if !message.host_path.is_empty() {
                return Err(FieldError::new("host_path", "stands beside image: a mount shows one of both"));
            }
            if !message.readonly {
                return Err(FieldError::new("readonly", "should be true: nobody writes to an image"));
            }
            if propagation != Propagation::Private {
                return Err(FieldError::new("propagation", "should be private: nothing is mounted in an image"));
            }
            MountSource::Image(image_source(image, &message.image_sub_path)?)
        }
        None if message.image_sub_path.is_empty() => {
            MountSource::Host(any_absolute_path("host_path", not_empty("host_path", message.host_path)?)?)
        }
        None => return Err(FieldError::new("image_sub_path", "needs image")),
    };
    Ok(ContainerMount {
        container_path,
        source,
        readonly: message.readonly,
        recursive_read_only: message.recursive_read_only,
        selinux_relabel: message.selinux_relabel,
        propagation,
        options: options(&message.mount_options)?,
        users,
    })
}

/// A path that leads up is the client's mistake: within the image there is nothing above.
fn image_source(image: v1::ImageSpec, sub_path: &str) -> Checked<ImageSource> {
    let short = |field: &str, text: String| short(field, without_nul(field, text)?, IMAGE_NAME_BYTES);
    let sub_path = absolute_path("image_sub_path", format!("/{sub_path}"))?;
    at_most("image.annotations", "entries", image.annotations.len(), LABELS)?;
    Ok(ImageSource {
        reference: short("image.image", image.image)?,
        user_specified_image: short("image.user_specified_image", image.user_specified_image)?,
        annotations: image.annotations,
        sub_path: normal_path(sub_path),
    })
}

/// What Kubernetes names; each counts once.
fn options(names: &[String]) -> Checked<Vec<MountOption>> {
    let mut options = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(option) = MountOption::ALL.into_iter().find(|option| option.name() == name) else {
            let reason = format!("{} should be noexec, nodev or nosuid", excerpt(name));
            return Err(FieldError::new(format!("mount_options[{index}]"), reason));
        };
        if !options.contains(&option) {
            options.push(option);
        }
    }
    Ok(options)
}

/// The same back, for status: what the client asked for and nothing that peapod added but the id of an image.
pub(crate) fn to_message(mount: &ContainerMount, image_id: Option<&str>) -> v1::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => v1::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    let (host_path, image, image_sub_path) = match &mount.source {
        MountSource::Host(path) => (path.to_string_lossy().into_owned(), None, String::new()),
        MountSource::Image(ImageSource { reference, user_specified_image, annotations, sub_path }) => {
            let image = v1::ImageSpec {
                // The kubelet compares it with ids of images, to find those that are in use.
                image: reference.clone(),
                annotations: annotations.clone(),
                user_specified_image: user_specified_image.clone(),
                image_ref: image_id.unwrap_or_default().to_owned(),
                ..v1::ImageSpec::default()
            };
            let sub_path = sub_path.strip_prefix("/").unwrap_or(sub_path);
            (String::new(), Some(image), sub_path.to_string_lossy().into_owned())
        }
    };
    let mappings = |range: fn(UserNamespace) -> IdRange| {
        mount.users.map(|users| namespaces::to_mappings(range(users))).unwrap_or_default()
    };
    v1::Mount {
        uid_mappings: mappings(|users| users.uids),
        gid_mappings: mappings(|users| users.gids),
        container_path: mount.container_path.to_string_lossy().into_owned(),
        host_path,
        readonly: mount.readonly,
        selinux_relabel: mount.selinux_relabel,
        propagation: propagation.into(),
        recursive_read_only: mount.recursive_read_only,
        image,
        image_sub_path,
        mount_options: mount.options.iter().map(|option| option.name().to_owned()).collect(),
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
