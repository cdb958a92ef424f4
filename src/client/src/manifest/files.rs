//! Volumes whose files are written for the pod: configMap, secret, downwardAPI, projected.

use std::sync::Arc;

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::env::missing;
use super::fields::{self, ContainerAmount, FieldUse, PodField};
use super::names::{cleaned_path, is_inner_path};
use super::objects::DataKind;

/// Bytes of a path that a kubelet takes, and of a name that Linux takes.
const PATH: usize = 4096;
const NAME: usize = 255;

/// The files of such a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileSet {
    /// In the order of the manifest; of equal paths the last one counts.
    pub(crate) files: Vec<VolumeFile>,
    /// They never come to a disk.
    pub(crate) in_memory: bool,
}

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeFile {
    /// Relative, without `..`, `.` and empty parts.
    pub(crate) path: String,
    pub(crate) mode: u32,
    /// The owner, if it is not root.
    pub(crate) user: Option<u32>,
    pub(crate) content: FileContent,
}

/// What is in a file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum FileContent {
    /// Shared by all volumes that show it.
    Bytes(Arc<[u8]>),
    Field(PodField),
    Amount(ContainerAmount),
}

impl FileContent {
    /// In bytes, as far as it is known.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Field(_) | Self::Amount(_) => 0,
        }
    }
}

/// No content is ever printed: it may be a secret.
impl std::fmt::Debug for FileContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Field(field) => write!(f, "{field:?}"),
            Self::Amount(amount) => write!(f, "{amount:?}"),
        }
    }
}

/// Mode and owner of files that say nothing else.
#[derive(Clone, Copy)]
struct FileDefaults {
    mode: u32,
    user: Option<u32>,
}

/// An object as it is named in a volume.
struct ObjectFiles<'a> {
    kind: DataKind,
    name: &'a str,
    /// The field that names it.
    name_field: &'static str,
    items: Option<&'a [k8s::KeyToPath]>,
    optional: bool,
}

pub(super) fn config_map(b: &mut Builder<'_>, path: &str, given: &k8s::ConfigMapVolumeSource) -> FileSet {
    let defaults = defaults(b, path, given.default_mode, given.default_user);
    let object = ObjectFiles {
        kind: DataKind::ConfigMap,
        name: &given.name,
        name_field: "name",
        items: given.items.as_deref(),
        optional: given.optional == Some(true),
    };
    FileSet { files: object.files(b, path, defaults), in_memory: false }
}

pub(super) fn secret(b: &mut Builder<'_>, path: &str, given: &k8s::SecretVolumeSource) -> FileSet {
    let defaults = defaults(b, path, given.default_mode, given.default_user);
    let object = ObjectFiles {
        kind: DataKind::Secret,
        name: given.secret_name.as_deref().unwrap_or_default(),
        name_field: "secretName",
        items: given.items.as_deref(),
        optional: given.optional == Some(true),
    };
    FileSet { files: object.files(b, path, defaults), in_memory: true }
}

pub(super) fn downward(b: &mut Builder<'_>, path: &str, given: &k8s::DownwardAPIVolumeSource) -> FileSet {
    let defaults = defaults(b, path, given.default_mode, given.default_user);
    FileSet { files: told(b, path, given.items.as_deref().unwrap_or_default(), defaults), in_memory: false }
}

pub(super) fn projected(b: &mut Builder<'_>, path: &str, given: &k8s::ProjectedVolumeSource) -> FileSet {
    let defaults = defaults(b, path, given.default_mode, given.default_user);
    let mut set = FileSet::default();
    for (index, source) in given.sources.iter().flatten().enumerate() {
        let path = format!("{path}.sources[{index}]");
        if let Some(map) = &source.config_map {
            let object = ObjectFiles {
                kind: DataKind::ConfigMap,
                name: &map.name,
                name_field: "name",
                items: map.items.as_deref(),
                optional: map.optional == Some(true),
            };
            set.files.extend(object.files(b, &format!("{path}.configMap"), defaults));
        }
        if let Some(secret) = &source.secret {
            let object = ObjectFiles {
                kind: DataKind::Secret,
                name: &secret.name,
                name_field: "name",
                items: secret.items.as_deref(),
                optional: secret.optional == Some(true),
            };
            set.files.extend(object.files(b, &format!("{path}.secret"), defaults));
            set.in_memory = true;
        }
        if let Some(downward) = &source.downward_api {
            let items = downward.items.as_deref().unwrap_or_default();
            set.files.extend(told(b, &format!("{path}.downwardAPI"), items, defaults));
        }
    }
    set
}

fn defaults(b: &mut Builder<'_>, path: &str, given: Option<i32>, user: Option<i64>) -> FileDefaults {
    let mode = mode(b, &format!("{path}.defaultMode"), given).unwrap_or(0o644);
    FileDefaults { mode, user: owner(b, &format!("{path}.defaultUser"), user) }
}

/// A mode of a file, of nine bits.
fn mode(b: &mut Builder<'_>, path: &str, given: Option<i32>) -> Option<u32> {
    bits(b, path, given, 0o777)
}

/// A mode of these bits.
pub(super) fn bits(b: &mut Builder<'_>, path: &str, given: Option<i32>, most: u32) -> Option<u32> {
    let given = given?;
    match u32::try_from(given) {
        Ok(mode) if mode <= most => Some(mode),
        _ => {
            b.add_mistake(path, format!("is {given}; it has to be from 0 to 0{most:o}, which is {most}"));
            None
        }
    }
}

fn owner(b: &mut Builder<'_>, path: &str, given: Option<i64>) -> Option<u32> {
    let id = given?;
    match u32::try_from(id) {
        Ok(user) if i32::try_from(id).is_ok() => Some(user),
        _ => {
            b.add_mistake(path, format!("is {id}; it has to be from 0 to {}", i32::MAX));
            None
        }
    }
}

/// Where a file is, as a kubelet makes it of what was written. `./..data` would be what the volume is replaced by.
fn inner_path(b: &mut Builder<'_>, path: &str, given: &str) -> String {
    let cleaned = cleaned_path(given);
    if !is_inner_path(given) || given.starts_with("..") || cleaned.starts_with("..") || cleaned.is_empty() {
        b.add_mistake(path, format!("is `{given}`; it has to be a path in the volume, which does not begin with `..`"));
    } else if given.len() > PATH || given.split('/').any(|part| part.len() > NAME) || given.contains('\0') {
        b.add_mistake(path, format!("is no path of a file: one has {PATH} bytes at most, {NAME} of them a name"));
    }
    cleaned
}

impl ObjectFiles<'_> {
    fn files(&self, b: &mut Builder<'_>, path: &str, defaults: FileDefaults) -> Vec<VolumeFile> {
        let (objects, namespace) = b.objects();
        let Some(data) = objects.data(self.kind, namespace, self.name) else {
            if !self.optional {
                missing(b, &format!("{path}.{}", self.name_field), self.kind, self.name);
            }
            return Vec::new();
        };
        let file = |path: &str, bytes: &Arc<[u8]>, mode, user| VolumeFile {
            path: path.to_owned(),
            mode,
            user,
            content: FileContent::Bytes(bytes.clone()),
        };
        let Some(items) = self.items.filter(|items| !items.is_empty()) else {
            return data.iter().map(|(key, bytes)| file(key, bytes, defaults.mode, defaults.user)).collect();
        };
        let mut files = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}.items[{index}]");
            let place = inner_path(b, &format!("{path}.path"), &item.path);
            let mode = mode(b, &format!("{path}.mode"), item.mode).unwrap_or(defaults.mode);
            let user = owner(b, &format!("{path}.user"), item.user).or(defaults.user);
            match data.get(&item.key) {
                Some(bytes) => files.push(file(&place, bytes, mode, user)),
                None if self.optional => {}
                None => {
                    let text =
                        format!("is `{}`, which the {} `{}` does not have", item.key, self.kind.name(), self.name);
                    b.add_mistake(&format!("{path}.key"), text);
                }
            }
        }
        files
    }
}

fn told(
    b: &mut Builder<'_>,
    path: &str,
    items: &[k8s::DownwardAPIVolumeFile],
    defaults: FileDefaults,
) -> Vec<VolumeFile> {
    let mut files = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}.items[{index}]");
        let content = match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => {
                FileContent::Field(fields::field(b, &format!("{path}.fieldRef"), field, FieldUse::File))
            }
            (None, Some(amount)) => {
                FileContent::Amount(fields::amount(b, &format!("{path}.resourceFieldRef"), amount, FieldUse::File))
            }
            _ => {
                b.add_mistake(&path, "has to have one of fieldRef and resourceFieldRef");
                continue;
            }
        };
        files.push(VolumeFile {
            path: inner_path(b, &format!("{path}.path"), &item.path),
            mode: mode(b, &format!("{path}.mode"), item.mode).unwrap_or(defaults.mode),
            user: owner(b, &format!("{path}.user"), item.user).or(defaults.user),
            content,
        });
    }
    files
}
