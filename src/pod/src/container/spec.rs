//! A container's config.json: the look-ups that the pure function in peapod-spec needs.

use std::io::ErrorKind;
use std::path::Path;

use peapod_cgroup::Driver;
use peapod_image::{ImageConfig, Rootfs, Writable};
use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::container::{ContainerSpec, SeccompProfile};
use peapod_spec::pod::{PidMode, PodSpec};
use peapod_spec::{
    HostDevice, ImageDefaults, ImageVolume, Inputs, NamespacePaths, Note, PidNamespace, ResolvedMount, Sample,
    SpecError, UserError, excerpt, image_volumes, linux_resources, oci_config,
};

use super::{devices, limits, mounts};
use crate::bounds::{SECCOMP_PROFILE_BYTES, USER_FILE_BYTES};
use crate::error::Error;
use crate::node::Node;
use crate::sandbox;

/// What was looked up on the node and in the image. Blocking work is done.
pub(super) struct Looked {
    image: ImageDefaults,
    passwd: Option<String>,
    group: Option<String>,
    mounts: Vec<ResolvedMount>,
    /// Known when it starts.
    volumes: Vec<ImageVolume>,
    devices: Vec<HostDevice>,
    seccomp: Option<Vec<u8>>,
    apparmor: Option<Vec<String>>,
}

/// Looks up everything; blocks, for the file system.
pub(super) fn look(
    spec: &ContainerSpec,
    image: &ImageDefaults,
    rootfs: &Rootfs,
    apparmor: Option<Vec<String>>,
) -> Result<Looked, Error> {
    let seccomp = match &spec.security.seccomp {
        Some(SeccompProfile::Localhost(path)) if !spec.security.privileged => Some(seccomp(path)?),
        _ => None,
    };
    let devices = devices::resolve(&spec.devices, spec.security.privileged)?;
    devices::not_in_the_image(&devices, &spec.mounts, rootfs)?;
    Ok(Looked {
        image: image.clone(),
        passwd: users(rootfs, "/etc/passwd")?,
        group: users(rootfs, "/etc/group")?,
        mounts: mounts::resolve(&spec.mounts)?,
        volumes: Vec::new(),
        devices,
        seccomp,
        apparmor,
    })
}

/// What a container takes from its image.
pub(super) fn defaults(image: &ImageConfig) -> ImageDefaults {
    ImageDefaults {
        user: image.user.clone(),
        entrypoint: image.entrypoint.clone(),
        cmd: image.cmd.clone(),
        env: image.env.clone(),
        working_dir: image.working_dir.clone(),
        volumes: image.volumes.clone(),
    }
}

impl Looked {
    /// Makes the folders of the image's volumes, in the container's writable layer where no layer has them. `rootfs` is where the root
    /// file system is going to be mounted.
    pub(super) fn make_volumes(
        &mut self,
        spec: &ContainerSpec,
        layers: &Rootfs,
        rootfs: &Path,
        writable: &Writable<'_>,
        owner: (u32, u32),
    ) -> Result<Option<Note>, Error> {
        // What is left out is noted when the configuration is made.
        let paths = image_volumes(&self.image, spec, &mut Vec::new()).map_err(|error| invalid(&error))?;
        if paths.is_empty() {
            return Ok(None);
        }
        let folders = layers.folders(&paths, writable, owner);
        let folders = folders.map_err(|error| Error::failed("make the image's volumes", &error))?;
        let mut others = Vec::new();
        for (path, folder) in paths.iter().zip(folders) {
            match folder {
                Some(container_path) => {
                    let source = rootfs.join(container_path.strip_prefix("/").unwrap_or(&container_path));
                    self.volumes.push(ImageVolume { container_path, source });
                }
                None => others.push(path.to_string_lossy()),
            }
        }
        let sample = || Sample::of(others.iter().map(AsRef::as_ref));
        Ok((!others.is_empty()).then(|| Note::Volumes(sample())))
    }
}

/// The configuration that follows.
pub(super) fn config(
    node: &Node,
    pod_dir: &Path,
    pod: &PodSpec,
    spec: &ContainerSpec,
    looked: &Looked,
    namespaces: &NamespacePaths,
    (driver, group): (Driver, &str),
) -> Result<peapod_spec::Config, Error> {
    let settings = driver.annotations(&limits::of(&linux_resources(&spec.resources, &node.facts)));
    let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    oci_config(&Inputs {
        pod,
        container: spec,
        image: &looked.image,
        passwd: looked.passwd.as_deref(),
        group: looked.group.as_deref(),
        node: &node.facts,
        files: &sandbox::files_of(pod_dir, pod),
        namespaces,
        mounts: &looked.mounts,
        volumes: &looked.volumes,
        devices: &looked.devices,
        rootfs: Path::new("rootfs"),
        cgroups_path: &driver.runtime_path(group),
        annotations: &settings,
        localhost_seccomp: looked.seccomp.as_deref(),
        apparmor: looked.apparmor.as_deref(),
    })
    .map_err(|error| invalid(&error))
}

/// Where a container's namespaces are. `target` is the process whose PID namespace it shares, for `PidMode::Target`.
pub(super) fn namespaces(spec: &ContainerSpec, pod: &Namespaces, target: Option<u32>) -> NamespacePaths {
    let path = |text: &str| (!text.is_empty()).then(|| text.into());
    NamespacePaths {
        network: path(&pod.network),
        ipc: path(&pod.ipc),
        uts: path(&pod.uts),
        pid: match &spec.security.pid {
            PidMode::Pod => PidNamespace::Path(pod.pid.clone().into()),
            PidMode::Container => PidNamespace::New,
            PidMode::Node => PidNamespace::Host,
            PidMode::Target(_) => PidNamespace::Path(format!("/proc/{}/ns/pid", target.unwrap_or_default()).into()),
        },
    }
}

fn users(rootfs: &Rootfs, path: &str) -> Result<Option<String>, Error> {
    match rootfs.read_file(path, USER_FILE_BYTES) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        // Every OCI runtime reads it too, and would wait for a writer.
        Err(error)
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::FileTooLarge) || leads_nowhere(&error) =>
        {
            Err(Error::Invalid { field: "image".to_owned(), reason: format!("its {path} can't be used: {error}") })
        }
        Err(error) => Err(Error::failed(format!("read {path} of the image"), &error)),
    }
}

/// Whether links of the image are in a circle, or name what no file system can.
fn leads_nowhere(error: &std::io::Error) -> bool {
    use nix::errno::Errno;
    error.raw_os_error().is_some_and(|raw| matches!(Errno::from_raw(raw), Errno::ELOOP | Errno::ENAMETOOLONG))
}

fn seccomp(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;
    let invalid = |reason: String| Error::Invalid {
        field: "linux.security_context.seccomp.localhost_ref".to_owned(),
        reason: format!("{}: {reason}", excerpt(path)),
    };
    // A FIFO of that name must not hold us up.
    let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
    let file = std::fs::File::options().read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(|error| invalid(error.to_string()))?;
    if !file.metadata().map_err(|error| invalid(error.to_string()))?.is_file() {
        return Err(invalid("is no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(SECCOMP_PROFILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| invalid(error.to_string()))?;
    if bytes.len() as u64 > SECCOMP_PROFILE_BYTES {
        return Err(invalid(format!("has more than {SECCOMP_PROFILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Which field of the request it was.
fn invalid(error: &SpecError) -> Error {
    let field = match error {
        SpecError::NoCommand => "command",
        SpecError::User(UserError::GroupWithoutUser(_)) => "linux.security_context.run_as_group",
        SpecError::User(_) => "linux.security_context.run_as_user",
        SpecError::WorkingDir(_) => "working_dir",
        SpecError::EnvNotUtf8(_) => "envs",
        SpecError::UnknownCapability(_) => "linux.security_context.capabilities",
        SpecError::TooMany { field, .. } => field,
        SpecError::ImageNul(_) => "image",
        SpecError::DeviceName { .. } => "devices",
        SpecError::Propagation { .. } | SpecError::RecursiveReadOnly(_) | SpecError::SelinuxRelabel(_) => "mounts",
        SpecError::SeccompMissing(_) | SpecError::Seccomp { .. } => "linux.security_context.seccomp",
        SpecError::CdiDevice(_) => "CDI_devices",
        SpecError::ApparmorOff(_) | SpecError::ApparmorNotLoaded(_) => "linux.security_context.apparmor",
        _ => "config",
    };
    // Some name the field themselves.
    let text = error.to_string();
    let reason = text.strip_prefix(field).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&text);
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
        ] {
            let said = invalid(&error).to_string();
            assert_eq!(said, text);
        }
    }
}
