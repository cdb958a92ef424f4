//! A container's config.json: the look-ups that the pure function in peapod-spec needs.

use std::path::Path;

use peapod_cgroup::Driver;
use peapod_image::{Image, Rootfs};
use peapod_shim_protocol::extension::Namespaces;
use peapod_spec::container::{ContainerSpec, SeccompProfile};
use peapod_spec::pod::{PidMode, PodSpec};
use peapod_spec::{
    HostDevice, ImageDefaults, Inputs, NamespacePaths, PidNamespace, ResolvedMount, SpecError, UserError,
    linux_resources, oci_config,
};

use super::{devices, limits, mounts};
use crate::error::Error;
use crate::node::Node;
use crate::sandbox;

/// More of an image's passwd or group file is not read.
const USERS_LIMIT: usize = 4 << 20;
/// More of a seccomp profile is not read.
const SECCOMP_LIMIT: u64 = 4 << 20;

/// What was looked up on the node and in the image. Blocking work is done.
pub(super) struct Looked {
    image: ImageDefaults,
    passwd: Option<String>,
    group: Option<String>,
    mounts: Vec<ResolvedMount>,
    devices: Vec<HostDevice>,
    seccomp: Option<Vec<u8>>,
    apparmor: Option<Vec<String>>,
}

/// Looks up everything; blocks, for the file system.
pub(super) fn look(
    spec: &ContainerSpec,
    image: &Image,
    rootfs: &Rootfs,
    apparmor: Option<Vec<String>>,
) -> Result<Looked, Error> {
    let seccomp = match &spec.security.seccomp {
        Some(SeccompProfile::Localhost(path)) if !spec.security.privileged => Some(seccomp(path)?),
        _ => None,
    };
    Ok(Looked {
        image: ImageDefaults {
            user: image.config.user.clone(),
            entrypoint: image.config.entrypoint.clone(),
            cmd: image.config.cmd.clone(),
            env: image.config.env.clone(),
            working_dir: image.config.working_dir.clone(),
            volumes: image.config.volumes.clone(),
        },
        passwd: users(rootfs, "/etc/passwd")?,
        group: users(rootfs, "/etc/group")?,
        mounts: mounts::resolve(&spec.mounts)?,
        devices: devices::resolve(&spec.devices, spec.security.privileged)?,
        seccomp,
        apparmor,
    })
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
    match rootfs.read_file(path, USERS_LIMIT) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) => Err(Error::failed(format!("read {path} of the image"), &error)),
    }
}

fn seccomp(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;
    let invalid = |reason: String| Error::Invalid {
        field: "linux.security_context.seccomp.localhost_ref".to_owned(),
        reason: format!("{}: {reason}", path.display()),
    };
    let file = std::fs::File::open(path).map_err(|error| invalid(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(SECCOMP_LIMIT + 1).read_to_end(&mut bytes).map_err(|error| invalid(error.to_string()))?;
    if bytes.len() as u64 > SECCOMP_LIMIT {
        return Err(invalid(format!("has more than {SECCOMP_LIMIT} bytes")));
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
        SpecError::Propagation { .. } | SpecError::RecursiveReadOnly(_) => "mounts",
        SpecError::SeccompMissing(_) | SpecError::Seccomp { .. } => "linux.security_context.seccomp",
        SpecError::CdiDevice(_) => "CDI_devices",
        SpecError::ApparmorOff(_) | SpecError::ApparmorNotLoaded(_) => "linux.security_context.apparmor",
        _ => "config",
    };
    Error::Invalid { field: field.to_owned(), reason: error.to_string() }
}
