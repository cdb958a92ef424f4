//! From what was looked up to a container's configuration, and from that to what its start gives the OCI runtime.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use peapod_image::{FolderOwners, Rootfs, Writable};
use peapod_spec::container::ContainerSpec;
use peapod_spec::pod::{PidMode, Scope};
use peapod_spec::{
    Config, Configured, DeviceInputs, ImageDefaults, ImageInputs, ImageVolume, Inputs, NamespacePaths, NodeDefaults,
    Note, PidNamespace, Profiles, SpecError, StartInputs, UserError, image_volumes, linux_resources, oci_config,
};
use peapod_text::Sample;

use super::cdi::{self, CdiSurroundings};
use super::look_up::{LeasedLayers, Looked, look, look_up};
use super::{ContainerContext, cgroup_owner, kept, limits, mounts, relabel, sandboxed};
use crate::apparmor;
use crate::bounds::RELABEL_TIME;
use crate::disk;
use crate::error::Error;
use crate::features::Features;
use crate::id::ContainerId;
use crate::namespaces::PodNamespaces;
use crate::sandbox;

/// Looks up what a container needs, room on the disks first, and makes its configuration, complete but for what its
/// start says.
pub(super) async fn make(
    context: &ContainerContext,
    id: &ContainerId,
    spec: &Arc<ContainerSpec>,
    image: ImageDefaults,
    layers: LeasedLayers,
) -> Result<Configured, Error> {
    let apparmor = apparmor::profiles(spec.security.wants_default_apparmor()).await;
    let around = CdiSurroundings {
        // Only devices of CDI need to know.
        features: if spec.cdi_devices.is_empty() { Features::default() } else { context.handler.features().await },
        own_users: context.pod.namespaces.users.is_some(),
        own_network: context.pod.namespaces.network == Scope::Pod,
    };
    let (own, id, spec) = (context.clone(), id.clone(), Arc::clone(spec));
    // With the rest of the look-up, which has an end of its own.
    let until = Instant::now() + RELABEL_TIME;
    look_up(&context.pod_id, "look up what the container needs", move || {
        // Here, where there is a thread that may wait.
        disk::has_room_now(&own.containers.layout)?;
        cgroup_owner::may_delegate(&own, &id, &spec)?;
        let cdi = cdi::resolve(&own.containers.cdi, &spec, around)?;
        let looked = look(&spec, image, &layers, apparmor, cdi)?;
        let configured = configure(&own, &id, &spec, &looked)?;
        // The last thing: a refused request changes nothing.
        mounts::make_absent(&spec.mounts)?;
        relabel::volumes(&configured.config, &spec.mounts, own.containers.layout.roots(), until)?;
        Ok(configured)
    })
    .await
}

fn configure(
    context: &ContainerContext,
    id: &ContainerId,
    spec: &ContainerSpec,
    looked: &Looked,
) -> Result<Configured, Error> {
    let settings = settings(context, spec);
    let writable_cgroups = context.handler.runtime()?.cgroup_writable;
    oci_config(&Inputs {
        pod: &context.pod,
        container: spec,
        image: ImageInputs {
            defaults: &looked.image,
            passwd: looked.passwd.as_deref(),
            group: looked.group.as_deref(),
        },
        node: &context.containers.facts,
        files: &sandbox::files_of(&context.containers.layout.pod_dir(&context.pod_id), &context.pod),
        mounts: &looked.mounts,
        devices: DeviceInputs { nodes: &looked.devices, edits: &looked.edits },
        rootfs: Path::new("rootfs"),
        cgroups_path: &context.cgroup.driver.runtime_path(&context.group(id)),
        profiles: Profiles {
            localhost_seccomp: looked.seccomp.as_deref(),
            apparmor: looked.apparmor.as_deref(),
            categories: context.categories,
        },
        defaults: NodeDefaults { ulimits: &context.containers.settings.get().ulimits, writable_cgroups },
        start: StartInputs {
            namespaces: &namespaces(spec, &context.namespaces, None),
            volumes: &[],
            annotations: &borrowed(&settings),
        },
    })
    .map_err(|error| invalid(&error))
}

/// Says in a configuration what only the start knows.
pub(super) fn edit(
    config: &mut Config,
    context: &ContainerContext,
    spec: &ContainerSpec,
    namespaces: &NamespacePaths,
    volumes: &[ImageVolume],
) -> Result<Vec<Note>, Error> {
    let (settings, mut notes) = (settings(context, spec), Vec::new());
    let start = StartInputs { namespaces, volumes, annotations: &borrowed(&settings) };
    config.set_for_start(spec, &context.containers.facts, &start, &mut notes).map_err(|error| invalid(&error))?;
    Ok(notes)
}

/// What the OCI runtime is told of the limits for systemd, and of its sandbox.
fn settings(context: &ContainerContext, spec: &ContainerSpec) -> Vec<(String, String)> {
    let limits = limits::of(&linux_resources(&spec.resources, &context.containers.facts));
    let mut settings = context.cgroup.driver.annotations(&limits);
    settings.extend(sandboxed::settings(context));
    settings
}

fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Where a container's namespaces are. `target` is the process whose PID namespace it shares, for `PidMode::Target`.
pub(super) fn namespaces(spec: &ContainerSpec, pod: &PodNamespaces, target: Option<u32>) -> NamespacePaths {
    NamespacePaths {
        network: pod.network.clone(),
        ipc: pod.ipc.clone(),
        uts: pod.uts.clone(),
        user: pod.user.clone(),
        pid: match &spec.security.pid {
            PidMode::Pod => pod.pid.clone().map_or(PidNamespace::NotYet, PidNamespace::Path),
            PidMode::Container => PidNamespace::New,
            PidMode::Node => PidNamespace::Host,
            PidMode::Target(_) => {
                let of = |pid| PidNamespace::Path(format!("/proc/{pid}/ns/pid").into());
                target.map_or(PidNamespace::NotYet, of)
            }
        },
    }
}

/// A root file system that is going to be mounted.
pub(super) struct NewRootfs<'a> {
    pub(super) bundle: &'a Path,
    pub(super) writable: Writable<'a>,
    /// User and group of the container's process.
    pub(super) owner: (u32, u32),
}

/// Makes the folders of the image's volumes, in the container's writable layer where no layer has them. With a note if
/// the image has something else than a folder in their places.
pub(super) fn make_volumes(
    context: &ContainerContext,
    image: &ImageDefaults,
    spec: &ContainerSpec,
    layers: &Rootfs,
    new: &NewRootfs<'_>,
) -> Result<(Vec<ImageVolume>, Option<Note>), Error> {
    // What is left out was noted when the configuration was made.
    let paths = image_volumes(image, spec, &mut Vec::new()).map_err(|error| invalid(&error))?;
    let mut volumes = Vec::new();
    if paths.is_empty() {
        return Ok((volumes, None));
    }
    let folders = make_folders(context, layers, new, &paths);
    let folders = folders.map_err(|error| Error::failed("make the image's volumes", &error))?;
    let rootfs = new.bundle.join("rootfs");
    let mut others = Vec::new();
    for (path, folder) in paths.iter().zip(folders) {
        match folder {
            Some(container_path) => {
                let source = rootfs.join(container_path.strip_prefix("/").unwrap_or(&container_path));
                volumes.push(ImageVolume { container_path, source });
            }
            None => others.push(path.to_string_lossy()),
        }
    }
    let sample = || Sample::of(others.iter().map(AsRef::as_ref));
    Ok((volumes, (!others.is_empty()).then(|| Note::Volumes(sample()))))
}

fn make_folders(
    context: &ContainerContext,
    layers: &Rootfs,
    new: &NewRootfs<'_>,
    paths: &[PathBuf],
) -> io::Result<Vec<Option<PathBuf>>> {
    let NewRootfs { bundle, writable, owner } = new;
    let (Some(users), Some(path)) = (context.pod.namespaces.users, &context.namespaces.user) else {
        let owners = FolderOwners { owner: *owner, root: (0, 0), mapped: None };
        return layers.folders(paths, writable, &owners);
    };
    let (namespace, at) = (File::open(path)?, kept::layers(bundle));
    let inside = (users.uids.on_node(owner.0), users.gids.on_node(owner.1));
    let owner = inside.0.zip(inside.1).ok_or_else(|| io::Error::other("the pod has no such user"))?;
    layers.folders(paths, writable, &FolderOwners { owner, root: users.root(), mapped: Some((namespace.as_fd(), &at)) })
}

/// Which field of the request it was.
pub(crate) fn invalid(error: &SpecError) -> Error {
    let field = match error {
        SpecError::NoCommand => "command",
        SpecError::User(UserError::GroupWithoutUser(_)) => "linux.security_context.run_as_group",
        SpecError::User(_) | SpecError::NoSuchId { .. } => "linux.security_context.run_as_user",
        SpecError::WorkingDir(_) => "working_dir",
        SpecError::EnvNotUtf8(_) => "envs",
        SpecError::UnknownCapability(_) => "linux.security_context.capabilities",
        SpecError::TooMany { field, .. } => field,
        SpecError::ImageNul(_) => "image",
        SpecError::DeviceName { .. } | SpecError::DeviceOfUsers { .. } => "devices",
        SpecError::Propagation { .. } | SpecError::RecursiveReadOnly(_) | SpecError::SelinuxRelabel(_) => "mounts",
        SpecError::SeccompMissing(_) | SpecError::Seccomp { .. } => "linux.security_context.seccomp",
        SpecError::ApparmorOff(_) | SpecError::ApparmorNotLoaded(_) => "linux.security_context.apparmor",
        _ => "config",
    };
    // Some name the field themselves, without the messages that it is in.
    let (text, name) = (error.to_string(), field.rsplit('.').next().unwrap_or(field));
    let reason = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
    Error::Invalid { field: field.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{SpecError, invalid};

    #[test]
    fn a_field_is_named_once() {
        for (error, text) in [
            (
                SpecError::TooMany { field: "envs", what: "x", count: 2, most: 1 },
                "envs: 2 x, and a container can have 1",
            ),
            (
                SpecError::DeviceName { path: "/dev/fd".into(), why: "why" },
                "devices: \"/dev/fd\" can't be another device: why",
            ),
            (
                SpecError::UnknownCapability("CAP_FLY".to_owned()),
                "linux.security_context.capabilities: \"CAP_FLY\" is not a capability",
            ),
        ] {
            let said = invalid(&error).to_string();
            assert_eq!(said, text);
        }
    }
}
