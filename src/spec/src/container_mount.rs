//! What a client wants to have mounted in a container, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::user_namespace::UserNamespace;

/// A directory or file of the node, or an image, inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerMount {
    /// Absolute.
    pub container_path: PathBuf,
    /// What is seen there.
    #[serde(flatten)]
    pub source: MountSource,
    /// Not writable at its top. An image never is.
    pub readonly: bool,
    /// Not writable below either; only with `readonly` and private propagation.
    pub recursive_read_only: bool,
    /// Nothing happens without SELinux.
    pub selinux_relabel: bool,
    /// Which mounts made later are seen on the other side.
    pub propagation: Propagation,
    /// What can't be done with its files, in the client's order, each once. Records of releases before this field have
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<MountOption>,
    /// The owners of its files are seen through this, as ids inside; `None`: as they are. Those of an image are seen as
    /// those of the container's own, whatever is said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UserNamespace>,
}

/// Where a mount's files are. In a record it is a field of the mount's, called as its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountSource {
    /// An absolute path of the node.
    #[serde(rename = "host_path")]
    Host(PathBuf),
    /// An image that is on the node.
    #[serde(rename = "image")]
    Image(ImageSource),
}

/// An image, or a part of it, as a mount's source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    /// Which image, as written: an id, a name or a digest reference.
    pub reference: String,
    /// What the user wrote in the pod, for display.
    pub user_specified_image: String,
    /// Annotations of the image reference.
    pub annotations: BTreeMap<String, String>,
    /// A folder or file of the image, in normal form; `/` is all of it.
    pub sub_path: PathBuf,
}

/// Something that can't be done with the files of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountOption {
    /// Execute them.
    NoExec,
    /// Use those that are devices.
    NoDev,
    /// Gain anything by executing those that are set-uid.
    NoSuid,
}

/// Mount propagation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// None.
    #[default]
    Private,
    /// From the node to the container.
    HostToContainer,
    /// Both ways.
    Bidirectional,
}

impl ContainerMount {
    /// The path on the node; `None` for an image.
    #[must_use]
    pub fn host_path(&self) -> Option<&Path> {
        match &self.source {
            MountSource::Host(path) => Some(path),
            MountSource::Image(_) => None,
        }
    }

    /// The image; `None` for a path of the node.
    #[must_use]
    pub fn image(&self) -> Option<&ImageSource> {
        match &self.source {
            MountSource::Host(_) => None,
            MountSource::Image(image) => Some(image),
        }
    }
}

impl MountOption {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NoExec, Self::NoDev, Self::NoSuid];

    /// As mount(8), CRI and OCI call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoExec => "noexec",
            Self::NoDev => "nodev",
            Self::NoSuid => "nosuid",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_has_its_source_as_a_field_as_it_always_had() {
        let record = json!({
            "container_path": "/c", "host_path": "/h", "readonly": true, "recursive_read_only": false,
            "selinux_relabel": false, "propagation": "HostToContainer",
        });
        let mount: ContainerMount = serde_json::from_value(record.clone()).unwrap();
        assert_eq!(mount.host_path(), Some(Path::new("/h")));
        assert!(mount.options.is_empty() && mount.propagation == Propagation::HostToContainer);
        assert_eq!(serde_json::to_value(&mount).unwrap(), record);
    }

    #[test]
    fn an_image_is_recorded_and_found_again() {
        let mount = ContainerMount {
            container_path: "/c".into(),
            source: MountSource::Image(ImageSource {
                reference: "sha256:1".to_owned(),
                user_specified_image: "model".to_owned(),
                annotations: [("a".to_owned(), "b".to_owned())].into(),
                sub_path: "/etc".into(),
            }),
            readonly: true,
            recursive_read_only: false,
            selinux_relabel: false,
            propagation: Propagation::Private,
            options: MountOption::ALL.to_vec(),
            users: None,
        };
        let record = serde_json::to_string(&mount).unwrap();
        assert_eq!(serde_json::from_str::<ContainerMount>(&record).unwrap(), mount, "{record}");
        assert!(mount.host_path().is_none() && mount.image().is_some());
    }
}
