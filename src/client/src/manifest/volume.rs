//! The volumes of a Pod.

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;

use super::files::{self, FileSet};
use super::image::{PullPolicy, pull_policy, with_tag};
use super::quantity::Quantity;
use crate::bounds::VOLUME_FILES_BYTES;

/// A volume that containers can mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) source: VolumeSource,
}

/// Where a volume's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VolumeSource {
    /// A directory of the pod's own, gone when the pod is.
    EmptyDir { mode: u32 },
    /// The same in memory, with a size in bytes.
    MemoryDir { mode: u32, size: Option<u64> },
    /// A path of the node.
    HostPath { path: String, kind: HostPathType },
    /// Files that are written for the pod.
    Files(FileSet),
    /// The files of an image.
    Image { reference: String, pull: PullPolicy },
    /// A directory that stays when the pod is gone.
    Claim { name: String, declared: bool, read_only: bool },
}

/// What a hostPath has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostPathType {
    /// Anything that is there.
    Any,
    DirectoryOrCreate,
    Directory,
    FileOrCreate,
    File,
    Socket,
    CharDevice,
    BlockDevice,
}

/// A folder without a mode of its own is everybody's.
const OPEN: u32 = 0o777;
/// One with a mode may keep users from removing each other's files.
const STICKY: u32 = 0o1777;

impl VolumeSource {
    /// Whether nobody can write into it, whatever a mount says.
    pub(crate) fn is_read_only(&self) -> bool {
        match self {
            Self::Files(_) | Self::Image { .. } => true,
            Self::Claim { read_only, .. } => *read_only,
            Self::EmptyDir { .. } | Self::MemoryDir { .. } | Self::HostPath { .. } => false,
        }
    }
}

/// All volumes of a pod.
pub(super) fn build(b: &mut Builder<'_>, volumes: &[k8s::Volume]) -> Vec<Volume> {
    let mut built: Vec<Volume> = Vec::new();
    for (index, given) in volumes.iter().enumerate() {
        let path = format!("spec.volumes[{index}]");
        b.check_label(&format!("{path}.name"), &given.name);
        if built.iter().any(|volume| volume.name == given.name) {
            b.add_mistake(&format!("{path}.name"), format!("is `{}`, as is another volume's", given.name));
        }
        built.push(Volume { name: given.name.clone(), source: source(b, &path, given) });
    }
    // What a pod is told of itself is counted when it is known.
    let mut left = VOLUME_FILES_BYTES;
    for (index, volume) in built.iter().enumerate() {
        let VolumeSource::Files(set) = &volume.source else { continue };
        let further = set.files.iter().try_fold(left, |left, file| left.checked_sub(file.content.length()));
        let Some(further) = further else {
            let text = format!("has too much: the files of all volumes have {} MiB at most", VOLUME_FILES_BYTES >> 20);
            b.add_mistake(&format!("spec.volumes[{index}]"), text);
            break;
        };
        left = further;
    }
    built
}

fn source(b: &mut Builder<'_>, path: &str, given: &k8s::Volume) -> VolumeSource {
    let set = [
        ("emptyDir", given.empty_dir.is_some()),
        ("hostPath", given.host_path.is_some()),
        ("configMap", given.config_map.is_some()),
        ("secret", given.secret.is_some()),
        ("downwardAPI", given.downward_api.is_some()),
        ("projected", given.projected.is_some()),
        ("image", given.image.is_some()),
        ("persistentVolumeClaim", given.persistent_volume_claim.is_some()),
        ("ephemeral", given.ephemeral.is_some()),
    ];
    let mut named = set.iter().filter(|(_, set)| *set).map(|(name, _)| *name);
    if let (Some(first), Some(second)) = (named.next(), named.next()) {
        b.add_mistake(&format!("{path}.{second}"), format!("stands beside {first}: a volume has one source"));
    }
    if let Some(map) = &given.config_map {
        VolumeSource::Files(files::config_map(b, &format!("{path}.configMap"), map))
    } else if let Some(secret) = &given.secret {
        VolumeSource::Files(files::secret(b, &format!("{path}.secret"), secret))
    } else if let Some(downward) = &given.downward_api {
        VolumeSource::Files(files::downward(b, &format!("{path}.downwardAPI"), downward))
    } else if let Some(projected) = &given.projected {
        VolumeSource::Files(files::projected(b, &format!("{path}.projected"), projected))
    } else if let Some(host) = &given.host_path {
        host_path(b, &format!("{path}.hostPath"), host)
    } else if let Some(image) = &given.image {
        image_volume(b, &format!("{path}.image"), image)
    } else if let Some(claim) = &given.persistent_volume_claim {
        self::claim(b, &format!("{path}.persistentVolumeClaim"), claim)
    } else if let Some(ephemeral) = &given.ephemeral {
        let mode = ephemeral.volume_claim_template.as_ref().and_then(|template| template.spec.volume_mode.clone());
        if let Some(mode) = mode.filter(|mode| mode != "Filesystem") {
            let path = format!("{path}.ephemeral.volumeClaimTemplate.spec.volumeMode");
            b.add_mistake(&path, format!("is `{mode}`; it is a folder here, so it can be Filesystem"));
        }
        VolumeSource::EmptyDir { mode: OPEN }
    } else {
        // Kubernetes takes a volume without a source for an emptyDir.
        let none = k8s::EmptyDirVolumeSource::default();
        empty_dir(b, &format!("{path}.emptyDir"), given.empty_dir.as_ref().unwrap_or(&none))
    }
}

fn empty_dir(b: &mut Builder<'_>, path: &str, given: &k8s::EmptyDirVolumeSource) -> VolumeSource {
    let mode = files::bits(b, &format!("{path}.mode"), given.mode, STICKY).unwrap_or(OPEN);
    let text = given.size_limit.as_ref().map(|quantity| quantity.0.as_str());
    let size = text.and_then(|text| match Quantity::parse(text) {
        Some(size) if !size.is_negative() => u64::try_from(size.value()).ok().filter(|size| *size > 0),
        _ => {
            b.add_mistake(&format!("{path}.sizeLimit"), format!("is `{text}`; it has to be a quantity such as 64Mi"));
            None
        }
    });
    match given.medium.as_deref().unwrap_or_default() {
        "Memory" => return VolumeSource::MemoryDir { mode, size },
        "" => {
            if size.is_some() {
                b.add_note(&format!("{path}.sizeLimit"), "is not watched: the folder has the size of its disk");
            }
        }
        medium if medium.starts_with("HugePages") => {
            let text = format!("is {medium}, which `peapod run` does not mount: use Memory");
            b.add_mistake(&format!("{path}.medium"), text);
        }
        medium => b.add_mistake(&format!("{path}.medium"), format!("is `{medium}`; it can be Memory, or nothing")),
    }
    VolumeSource::EmptyDir { mode }
}

fn host_path(b: &mut Builder<'_>, path: &str, given: &k8s::HostPathVolumeSource) -> VolumeSource {
    if !given.path.starts_with('/') || given.path.split('/').any(|part| part == "..") {
        b.add_mistake(&format!("{path}.path"), "has to be an absolute path without `..`");
    }
    let kind = b.one_of(
        &format!("{path}.type"),
        given.type_.as_deref(),
        HostPathType::Any,
        &[
            ("DirectoryOrCreate", HostPathType::DirectoryOrCreate),
            ("Directory", HostPathType::Directory),
            ("FileOrCreate", HostPathType::FileOrCreate),
            ("File", HostPathType::File),
            ("Socket", HostPathType::Socket),
            ("CharDevice", HostPathType::CharDevice),
            ("BlockDevice", HostPathType::BlockDevice),
        ],
    );
    VolumeSource::HostPath { path: given.path.clone(), kind }
}

fn image_volume(b: &mut Builder<'_>, path: &str, given: &k8s::ImageVolumeSource) -> VolumeSource {
    let written = given.reference.as_deref().unwrap_or_default();
    if written.is_empty() || written.trim() != written {
        b.add_mistake(&format!("{path}.reference"), format!("is `{written}`; it has to be the name of an image"));
    }
    let (reference, latest) = with_tag(written);
    let pull = pull_policy(b, &format!("{path}.pullPolicy"), given.pull_policy.as_deref(), latest);
    VolumeSource::Image { reference, pull }
}

fn claim(b: &mut Builder<'_>, path: &str, given: &k8s::PersistentVolumeClaimVolumeSource) -> VolumeSource {
    let name = given.claim_name.clone();
    // It becomes the name of a folder.
    if !super::names::is_subdomain(&name) {
        let text = format!("is `{name}`; it has to be a name of a-z, 0-9, inner dashes and dots");
        b.add_mistake(&format!("{path}.claimName"), text);
    }
    let (objects, namespace) = b.objects();
    let declared = objects.has_claim(namespace, &name);
    VolumeSource::Claim { name, declared, read_only: given.read_only.unwrap_or(false) }
}
