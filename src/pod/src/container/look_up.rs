//! What a container's configuration follows from: looked up once, on the node and in the image.

use std::io::ErrorKind;
use std::path::Path;

use peapod_image::{ImageConfig, Rootfs};
use peapod_spec::container::{ContainerSpec, SeccompProfile};
use peapod_spec::{Edits, HostDevice, ImageDefaults, ResolvedMount};
use peapod_text::excerpt;
use tokio::time::{Instant, timeout_at};

use super::cdi::CdiDevices;
use super::image_mounts::ImageMounts;
use super::look_up_slots::LookUpSlot;
use super::{devices, mounts};
use crate::bounds::{LOOK_UP, SECCOMP_PROFILE_BYTES, USER_FILE_BYTES};
use crate::error::Error;
use crate::id::PodId;
use crate::read;

/// What was found.
pub(super) struct Looked {
    pub(super) image: ImageDefaults,
    /// The image's passwd and group files, if it has them.
    pub(super) passwd: Option<String>,
    pub(super) group: Option<String>,
    /// As many as the request has, in its order.
    pub(super) mounts: Vec<ResolvedMount>,
    /// Nodes, those of CDI first.
    pub(super) devices: Vec<HostDevice>,
    /// What CDI devices bring beside their nodes.
    pub(super) edits: Edits,
    /// Content of the profile of the node that the request names.
    pub(super) seccomp: Option<Vec<u8>>,
    /// The loaded profiles; `None` where AppArmor is off.
    pub(super) apparmor: Option<Vec<String>>,
}

/// The layers that a container has leased.
#[derive(Clone)]
pub(super) struct LeasedLayers {
    pub(super) rootfs: Rootfs,
    pub(super) mounts: ImageMounts,
}

/// Does for a pod what blocks, for file systems of the node. Waits no longer than a living one needs.
pub(super) async fn look_up<T: Send + 'static>(
    pod: &PodId,
    step: &'static str,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let deadline = Instant::now() + LOOK_UP;
    let failed = |reason: String| Error::Failed { step: step.to_owned(), reason };
    let Ok(slot) = timeout_at(deadline, LookUpSlot::take(pod)).await else {
        let earlier = "earlier look-ups, of this pod or of many others, still wait for host paths that don't answer";
        return Err(failed(format!("{earlier}: is a file system dead?")));
    };
    let look = tokio::task::spawn_blocking(move || {
        let _until_it_answers = slot;
        work()
    });
    match timeout_at(deadline, look).await {
        Ok(outcome) => outcome.map_err(|error| Error::failed(step, &error))?,
        Err(_) => Err(failed(format!(
            "a host path, device or profile did not answer within {} s: is its file system dead?",
            LOOK_UP.as_secs()
        ))),
    }
}

/// Looks up everything; blocks, for the file system.
pub(super) fn look(
    spec: &ContainerSpec,
    image: ImageDefaults,
    layers: &LeasedLayers,
    apparmor: Option<Vec<String>>,
    cdi: CdiDevices,
) -> Result<Looked, Error> {
    let seccomp = match &spec.security.seccomp {
        Some(SeccompProfile::Localhost(path)) if !spec.security.privileged => Some(seccomp(path)?),
        _ => None,
    };
    let devices = devices::resolve(cdi.nodes, &spec.devices, spec.security.privileged)?;
    devices::not_in_the_image(&devices, &spec.mounts, &layers.rootfs)?;
    let [passwd, group] = user_files(&layers.rootfs)?;
    let mounts = mounts::resolve(&spec.mounts, &layers.mounts)?;
    Ok(Looked { image, passwd, group, mounts, devices, edits: cdi.edits, seccomp, apparmor })
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

/// The image's passwd and group, read in one opening of the image.
fn user_files(rootfs: &Rootfs) -> Result<[Option<String>; 2], Error> {
    let [passwd, group] = ["/etc/passwd", "/etc/group"];
    let found = rootfs.read_files([passwd, group], USER_FILE_BYTES);
    let found = found.map_err(|error| Error::failed(format!("read {passwd} of the image"), &error))?;
    let [of_passwd, of_group] = found;
    Ok([user_file(passwd, of_passwd)?, user_file(group, of_group)?])
}

fn user_file(path: &str, content: std::io::Result<Option<Vec<u8>>>) -> Result<Option<String>, Error> {
    match content {
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
    read::whole(path, SECCOMP_PROFILE_BYTES).map_err(|error| Error::Invalid {
        field: "linux.security_context.seccomp.localhost_ref".to_owned(),
        reason: format!("{}: {error}", excerpt(path)),
    })
}
