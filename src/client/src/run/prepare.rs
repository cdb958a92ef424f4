//! What is done for a container before it is asked for: its variables, its mounts, and who it runs as.

use std::path::Path;

use peapod_api::v1;

use super::env::EnvError;
use super::facts::LaunchFacts;
use super::images::{self, ContainerImage};
use super::launch::RunningPod;
use super::messages::{self, ContainerParts};
use super::off_thread::off_thread;
use super::pod_dir::{self, VolumePart};
use super::security::{IdentityError, UserRange};
use super::volume_error::VolumeError;
use super::{dns, env};
use crate::manifest::{Container, MountPropagationMode, ReadOnlyMount, SubPath, VolumeMount, VolumeSource, expand_all};

/// Why a container can't even be asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(transparent)]
    Env(#[from] EnvError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot prepare its volumes")]
    Thread(#[from] std::io::Error),
    #[error("cannot read the node's /etc/hosts")]
    Hosts(#[source] std::io::Error),
    #[error("the mount at {path} has $({name}) in its subPathExpr, and there is no such variable")]
    Unknown { path: String, name: String },
    #[error("the mount at {path} would be {text}, which leads out of the volume")]
    Outside { path: String, text: String },
}

impl RunningPod<'_> {
    /// The message with which a container is made, for the `attempt`th time counted from zero, with the file for its
    /// last words.
    pub(super) async fn prepare(
        &self,
        container: &Container,
        attempt: u32,
        last_words: Option<&Path>,
    ) -> Result<v1::ContainerConfig, PrepareError> {
        let run = self.run;
        let image =
            self.images.get(&container.name).cloned().unwrap_or_else(|| ContainerImage::by_name(&container.image));
        let facts = LaunchFacts { pod: run.pod, uid: &run.uid, node: &run.node, addresses: &self.addresses };
        let wanted = run.dir.wanted_env_files(run.pod, container);
        let files = off_thread(move || pod_dir::read_env_files(wanted)).await??;
        let env = env::resolve(container, &facts, &files)?;
        let mut mounts = Vec::new();
        for (index, mount) in container.mounts.iter().enumerate() {
            mounts.extend(self.mount(container, (index, mount), &env).await?);
        }
        let has = |path: &str| container.mounts.iter().any(|mount| mount.path.trim_end_matches('/') == path);
        if !has("/etc/hosts") && (run.pod.network.host || !self.addresses.is_empty()) {
            let node = if run.pod.network.host {
                std::fs::read_to_string("/etc/hosts").map_err(PrepareError::Hosts)?
            } else {
                String::new()
            };
            let path = run.dir.make_hosts(&dns::hosts(&facts, &node))?;
            mounts.push(self.plain_mount("/etc/hosts", &path));
        }
        mounts.extend(last_words.map(|file| self.plain_mount(&container.life.termination.path, file)));
        let parts = ContainerParts {
            uid: &run.uid,
            attempt,
            image: &image,
            node: &run.node,
            env,
            mounts,
            users: run.support.users,
            whole_limits: run.support.whole_limits,
        };
        Ok(messages::container(run.pod, container, parts)?)
    }

    fn plain_mount(&self, place: &str, path: &Path) -> v1::Mount {
        let users: Vec<v1::IdMapping> = self.run.support.users.map(UserRange::mapping).into_iter().collect();
        v1::Mount {
            container_path: place.to_owned(),
            host_path: path.display().to_string(),
            uid_mappings: users.clone(),
            gid_mappings: users,
            // What is the pod's own gets its label, as with a kubelet.
            selinux_relabel: self.run.node.has_selinux,
            ..Default::default()
        }
    }

    async fn mount(
        &self,
        container: &Container,
        (index, mount): (usize, &VolumeMount),
        env: &[(String, String)],
    ) -> Result<Option<v1::Mount>, PrepareError> {
        let (run, pod) = (self.run, self.run.pod);
        let Some(volume) = pod.volumes.iter().find(|volume| volume.name == mount.volume) else { return Ok(None) };
        let part = part(mount, env)?;
        let propagation = match mount.propagation {
            MountPropagationMode::Private => v1::MountPropagation::PropagationPrivate,
            MountPropagationMode::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
            MountPropagationMode::Bidirectional => v1::MountPropagation::PropagationBidirectional,
        };
        let all = match mount.read_only {
            ReadOnlyMount::All => true,
            ReadOnlyMount::AllIfPossible => run.support.recursive_read_only,
            ReadOnlyMount::Volume | ReadOnlyMount::Writable => false,
        };
        let message = v1::Mount {
            readonly: mount.read_only != ReadOnlyMount::Writable || volume.source.is_read_only(),
            recursive_read_only: all,
            propagation: propagation.into(),
            mount_options: mount.options.clone(),
            selinux_relabel: run.node.has_selinux && !matches!(volume.source, VolumeSource::HostPath { .. }),
            ..self.plain_mount(&mount.path, Path::new(""))
        };
        if let VolumeSource::Image { reference, .. } = &volume.source {
            let image = self.images.get(&images::of_volume(&volume.name)).map_or(reference, |image| &image.id);
            let (image, user_specified_image) = (image.clone(), reference.clone());
            let image = Some(v1::ImageSpec { image, user_specified_image, ..Default::default() });
            return Ok(Some(v1::Mount { image, image_sub_path: part.unwrap_or_default(), ..message }));
        }
        let path = match part {
            Some(part) => {
                let (path, container) = (run.dir.volume(pod, volume), container.name.clone());
                let shown = VolumePart { volume: volume.name.clone(), path, part, container, index };
                let dir = run.dir.clone();
                off_thread(move || dir.bind_part(&shown)).await??
            }
            None => run.dir.volume(pod, volume),
        };
        Ok(Some(v1::Mount { host_path: path.display().to_string(), ..message }))
    }
}

/// Which part of its volume a mount shows.
fn part(mount: &VolumeMount, env: &[(String, String)]) -> Result<Option<String>, PrepareError> {
    let text = match &mount.sub_path {
        SubPath::Whole => return Ok(None),
        SubPath::Path(text) => return Ok(Some(text.clone())),
        SubPath::Expression(text) => text,
    };
    let path = mount.path.clone();
    match expand_all(text, env) {
        (_, Some(name)) => Err(PrepareError::Unknown { path, name: name.to_owned() }),
        (text, None) if text.starts_with('/') || text.split('/').any(|part| part == "..") => {
            Err(PrepareError::Outside { path, text })
        }
        (text, None) => Ok(Some(text)),
    }
}
