//! What Pods refer to: ConfigMaps, Secrets and PersistentVolumeClaims of the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1 as k8s;

use super::Mistake;
use super::names::{is_key, is_subdomain};
use super::tree::YamlNode;

/// A namespace and a name in it.
pub(super) type ObjectName = (String, String);

/// Keys and what stands under them.
pub(super) type ObjectData = BTreeMap<String, Arc<[u8]>>;

/// The objects of all documents.
#[derive(Clone, Default)]
pub(crate) struct Objects {
    config_maps: BTreeMap<ObjectName, ConfigData>,
    secrets: BTreeMap<ObjectName, ObjectData>,
    claims: BTreeMap<ObjectName, ()>,
    /// Those that may not change.
    immutable: BTreeSet<(DataKind, ObjectName)>,
}

/// What they hold is never printed: it may be a secret.
impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("claims", &self.claims.keys()).finish_non_exhaustive()
    }
}

/// What a ConfigMap holds. Variables are texts; files are both.
#[derive(Clone, Default)]
struct ConfigData {
    all: ObjectData,
    binary: BTreeSet<String>,
}

/// Which kind of object something refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DataKind {
    ConfigMap,
    Secret,
}

impl DataKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// Keys that a Secret of a type has to have, one of each group.
const SECRET_TYPES: [(&str, &[&[&str]]); 6] = [
    ("kubernetes.io/dockerconfigjson", &[&[".dockerconfigjson"]]),
    ("kubernetes.io/dockercfg", &[&[".dockercfg"]]),
    ("kubernetes.io/basic-auth", &[&["username", "password"]]),
    ("kubernetes.io/ssh-auth", &[&["ssh-privatekey"]]),
    ("kubernetes.io/tls", &[&["tls.crt"], &["tls.key"]]),
    ("Opaque", &[]),
];

impl Objects {
    /// All that an object holds, for files.
    pub(super) fn data(&self, kind: DataKind, namespace: &str, name: &str) -> Option<&ObjectData> {
        let name = (namespace.to_owned(), name.to_owned());
        match kind {
            DataKind::ConfigMap => self.config_maps.get(&name).map(|data| &data.all),
            DataKind::Secret => self.secrets.get(&name),
        }
    }

    /// What variables can be made of.
    pub(super) fn texts<'a>(
        &'a self,
        kind: DataKind,
        namespace: &str,
        name: &str,
    ) -> Option<impl Iterator<Item = (&'a String, &'a Arc<[u8]>)> + use<'a>> {
        static NONE: BTreeSet<String> = BTreeSet::new();
        let full = (namespace.to_owned(), name.to_owned());
        let binary = match kind {
            DataKind::ConfigMap => self.config_maps.get(&full).map_or(&NONE, |data| &data.binary),
            DataKind::Secret => &NONE,
        };
        Some(self.data(kind, namespace, name)?.iter().filter(|(key, _)| !binary.contains(*key)))
    }

    /// Says which object is another one than among these of before, although it may not change, and what to do.
    pub(crate) fn broken_promise(&self, before: &Self) -> Option<String> {
        let broken = before.immutable.iter().find(|(kind, name)| {
            let (old, new) = (before.data(*kind, &name.0, &name.1), self.data(*kind, &name.0, &name.1));
            new.is_some() && (new != old || !self.immutable.contains(&(*kind, name.clone())))
        });
        broken.map(|(kind, (namespace, name))| {
            let kind = kind.name();
            format!(
                "the {kind} {namespace}/{name} is immutable: give the new one another name, and let those that use it \
                 refer to that"
            )
        })
    }

    /// Whether a claim is among the documents.
    pub(super) fn has_claim(&self, namespace: &str, name: &str) -> bool {
        self.claims.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    pub(super) fn add_config_map(&mut self, document: &YamlNode) -> Result<(), Vec<Mistake>> {
        let mut reader = ObjectReader { document, mistakes: Vec::new() };
        let Some(object) = reader.read::<k8s::ConfigMap>() else { return Err(reader.mistakes) };
        let name = reader.name(&object.metadata);
        let texts = object.data.unwrap_or_default();
        let binary = object.binary_data.unwrap_or_default();
        for key in texts.keys().filter(|key| binary.contains_key(*key)) {
            reader.add(&format!("binaryData.{key}"), "stands in data as well");
        }
        let keys = binary.keys().cloned().collect();
        let all = reader.keys("data", texts.into_iter().map(|(key, text)| (key, text.into_bytes())));
        let bytes = reader.keys("binaryData", binary.into_iter().map(|(key, bytes)| (key, bytes.0)));
        let data = ConfigData { all: all.into_iter().chain(bytes).collect(), binary: keys };
        if object.immutable == Some(true) {
            self.immutable.insert((DataKind::ConfigMap, name.clone()));
        }
        reader.insert("ConfigMap", &mut self.config_maps, name, data)
    }

    pub(super) fn add_secret(&mut self, document: &YamlNode) -> Result<(), Vec<Mistake>> {
        let mut reader = ObjectReader { document, mistakes: Vec::new() };
        let Some(object) = reader.read::<k8s::Secret>() else { return Err(reader.mistakes) };
        let name = reader.name(&object.metadata);
        let mut data = reader.keys("data", object.data.unwrap_or_default().into_iter().map(|(key, b)| (key, b.0)));
        // As an API server does it: plain text counts where both are there.
        let texts = object.string_data.unwrap_or_default().into_iter();
        data.extend(reader.keys("stringData", texts.map(|(key, text)| (key, text.into_bytes()))));
        let wanted = SECRET_TYPES.iter().find(|(name, _)| Some(*name) == object.type_.as_deref());
        for keys in wanted.map(|(_, keys)| *keys).unwrap_or_default() {
            if !keys.iter().any(|key| data.contains_key(*key)) {
                let type_ = object.type_.as_deref().unwrap_or_default();
                reader.add("type", &format!("is {type_}, which needs the key {}", keys.join(" or ")));
            }
        }
        if object.immutable == Some(true) {
            self.immutable.insert((DataKind::Secret, name.clone()));
        }
        reader.insert("Secret", &mut self.secrets, name, data)
    }

    pub(super) fn add_claim(&mut self, document: &YamlNode) -> Result<(), Vec<Mistake>> {
        let mut reader = ObjectReader { document, mistakes: Vec::new() };
        let Some(object) = reader.read::<k8s::PersistentVolumeClaim>() else { return Err(reader.mistakes) };
        let name = reader.name(&object.metadata);
        if let Some(mode) = object.spec.unwrap_or_default().volume_mode.filter(|mode| mode != "Filesystem") {
            reader.add("spec.volumeMode", &format!("is `{mode}`; a claim is a folder here, so it can be Filesystem"));
        }
        reader.insert("PersistentVolumeClaim", &mut self.claims, name, ())
    }
}

/// One object of a document, and what is wrong with it.
struct ObjectReader<'a> {
    document: &'a YamlNode,
    mistakes: Vec<Mistake>,
}

impl ObjectReader<'_> {
    fn add(&mut self, path: &str, text: &str) {
        let document = self.document;
        super::add_mistake(&mut self.mistakes, || {
            let line = document.line_at(path);
            Mistake { file: String::new(), path: path.to_owned(), line, text: text.to_owned() }
        });
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Option<T> {
        match serde_json::from_value(self.document.to_json()) {
            Ok(object) => Some(object),
            Err(error) => {
                self.add("data", &format!("can't be read: {error}"));
                None
            }
        }
    }

    fn name(&mut self, metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> ObjectName {
        let name = metadata.name.clone().unwrap_or_default();
        if !is_subdomain(&name) {
            self.add("metadata.name", &format!("is `{name}`; it has to be a name of a-z, 0-9, inner dashes and dots"));
        }
        let namespace = metadata.namespace.clone().filter(|text| !text.is_empty());
        (namespace.unwrap_or_else(|| "default".to_owned()), name)
    }

    fn keys(&mut self, field: &str, entries: impl Iterator<Item = (String, Vec<u8>)>) -> ObjectData {
        let data: ObjectData = entries.map(|(key, bytes)| (key, bytes.into())).collect();
        for key in data.keys().filter(|key| !is_key(key)) {
            let text = "is no key: it can have a-z, A-Z, 0-9, dashes, dots and underscores, 253 in all";
            self.add(&format!("{field}.{key}"), text);
        }
        data
    }

    fn insert<T>(
        mut self,
        kind: &str,
        all: &mut BTreeMap<ObjectName, T>,
        name: ObjectName,
        object: T,
    ) -> Result<(), Vec<Mistake>> {
        if all.contains_key(&name) {
            self.add("metadata.name", &format!("is `{}`, as is another {kind}'s of this namespace", name.1));
        }
        if self.mistakes.is_empty() {
            all.insert(name, object);
            Ok(())
        } else {
            Err(self.mistakes)
        }
    }
}
