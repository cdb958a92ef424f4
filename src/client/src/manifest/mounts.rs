//! The places of volumes in a container.

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::names::is_inner_path;
use super::volume::Volume;

/// A volume's place in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeMount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) read_only: ReadOnlyMount,
    pub(crate) propagation: MountPropagationMode,
    pub(crate) sub_path: SubPath,
    pub(crate) options: Vec<String>,
}

/// What can't be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnlyMount {
    /// All can.
    Writable,
    /// The volume, but what is mounted in it can.
    Volume,
    /// All of it, where the runtime can do that.
    AllIfPossible,
    /// All of it.
    All,
}

/// Whether later mounts are seen on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MountPropagationMode {
    Private,
    HostToContainer,
    Bidirectional,
}

/// Which part of the volume it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SubPath {
    Whole,
    Path(String),
    /// With `$(NAME)` in it.
    Expression(String),
}

/// All mounts of a container.
pub(super) fn build(
    b: &mut Builder<'_>,
    path: &str,
    container: &k8s::Container,
    volumes: &[Volume],
) -> Vec<VolumeMount> {
    let privileged = container.security_context.as_ref().is_some_and(|context| context.privileged == Some(true));
    let mut mounts: Vec<VolumeMount> = Vec::new();
    for (index, given) in container.volume_mounts.iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        if !volumes.iter().any(|volume| volume.name == given.name) {
            b.add_mistake(&format!("{path}.name"), format!("is `{}`, which is none of spec.volumes", given.name));
        }
        let place = format!("{path}.mountPath");
        if !given.mount_path.starts_with('/') {
            b.add_mistake(&place, format!("is `{}`; it has to be absolute", given.mount_path));
        } else if mounts.iter().any(|other| other.path == given.mount_path) {
            b.add_mistake(&place, format!("is `{}`, as is another mount's of this container", given.mount_path));
        }
        mounts.push(mount(b, &path, given, privileged));
    }
    mounts
}

fn mount(b: &mut Builder<'_>, path: &str, given: &k8s::VolumeMount, privileged: bool) -> VolumeMount {
    let propagation = b.one_of(
        &format!("{path}.mountPropagation"),
        given.mount_propagation.as_deref(),
        MountPropagationMode::Private,
        &[
            ("None", MountPropagationMode::Private),
            ("HostToContainer", MountPropagationMode::HostToContainer),
            ("Bidirectional", MountPropagationMode::Bidirectional),
        ],
    );
    if propagation == MountPropagationMode::Bidirectional && !privileged {
        b.add_mistake(&format!("{path}.mountPropagation"), "is Bidirectional, which only a privileged container may");
    }
    let recursive = b.one_of(
        &format!("{path}.recursiveReadOnly"),
        given.recursive_read_only.as_deref(),
        ReadOnlyMount::Volume,
        &[
            ("Disabled", ReadOnlyMount::Volume),
            ("IfPossible", ReadOnlyMount::AllIfPossible),
            ("Enabled", ReadOnlyMount::All),
        ],
    );
    let read_only = given.read_only.unwrap_or(false);
    if recursive != ReadOnlyMount::Volume && (!read_only || propagation != MountPropagationMode::Private) {
        b.add_mistake(&format!("{path}.recursiveReadOnly"), "needs readOnly: true, and no mountPropagation");
    }
    VolumeMount {
        volume: given.name.clone(),
        path: given.mount_path.clone(),
        read_only: if read_only { recursive } else { ReadOnlyMount::Writable },
        propagation,
        sub_path: sub_path(b, path, given),
        options: given.bind_mount_options.clone().unwrap_or_default(),
    }
}

fn sub_path(b: &mut Builder<'_>, path: &str, given: &k8s::VolumeMount) -> SubPath {
    let plain = given.sub_path.clone().filter(|text| !text.is_empty());
    let expression = given.sub_path_expr.clone().filter(|text| !text.is_empty());
    for (field, text) in [("subPath", &plain), ("subPathExpr", &expression)] {
        if let Some(text) = text.as_deref().filter(|text| !is_inner_path(text)) {
            let text = format!("is `{text}`; it has to be a path in the volume, without `..`");
            b.add_mistake(&format!("{path}.{field}"), text);
        }
    }
    match (plain, expression) {
        (None, None) => SubPath::Whole,
        (Some(plain), None) => SubPath::Path(plain),
        (None, Some(expression)) => SubPath::Expression(expression),
        (Some(_), Some(expression)) => {
            b.add_mistake(&format!("{path}.subPathExpr"), "stands beside subPath: a mount has one of both");
            SubPath::Expression(expression)
        }
    }
}
