//! The volumes of a Pod.

use k8s_openapi::api::core::v1 as k8s;

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
    EmptyDir,
    /// A path of the node.
    HostPath { path: String, kind: HostPathType },
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

/// A volume's place in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeMount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) read_only: bool,
}

impl HostPathType {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "" => Self::Any,
            "DirectoryOrCreate" => Self::DirectoryOrCreate,
            "Directory" => Self::Directory,
            "FileOrCreate" => Self::FileOrCreate,
            "File" => Self::File,
            "Socket" => Self::Socket,
            "CharDevice" => Self::CharDevice,
            "BlockDevice" => Self::BlockDevice,
            _ => return None,
        })
    }
}

/// A volume, or the field of it that is wrong and why.
pub(super) fn build(volume: &k8s::Volume) -> Result<Volume, (&'static str, String)> {
    let source = match (&volume.empty_dir, &volume.host_path) {
        (Some(_), Some(_)) => return Err(("hostPath", "stands beside emptyDir: a volume has one source".to_owned())),
        // Kubernetes takes a volume without a source for an emptyDir.
        (_, None) => VolumeSource::EmptyDir,
        (None, Some(host)) => {
            if !host.path.starts_with('/') || host.path.split('/').any(|part| part == "..") {
                return Err(("hostPath.path", "has to be an absolute path without `..`".to_owned()));
            }
            let text = host.type_.as_deref().unwrap_or_default();
            let kind = HostPathType::parse(text).ok_or_else(|| {
                (
                    "hostPath.type",
                    format!(
                        "is `{text}`; it can be DirectoryOrCreate, Directory, FileOrCreate, File, Socket, \
                     CharDevice or BlockDevice"
                    ),
                )
            })?;
            VolumeSource::HostPath { path: host.path.clone(), kind }
        }
    };
    Ok(Volume { name: volume.name.clone(), source })
}
