//! The variables of a container: those that are known now, and where the others come from.

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::fields::{self, ContainerAmount, FieldUse, PodField};
use super::names::{is_inner_path, is_variable};
use super::objects::DataKind;

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvVariable {
    pub(crate) name: String,
    pub(crate) source: EnvSource,
}

/// Where the value of a variable comes from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum EnvSource {
    /// Text in which `$(NAME)` is replaced by variables that stand before.
    Text(String),
    /// As it stands in a ConfigMap or a Secret.
    Plain(String),
    Field(PodField),
    Amount(ContainerAmount),
    /// A variable of a file that another container wrote.
    File {
        volume: String,
        path: String,
        key: String,
        optional: bool,
    },
}

/// What an object holds is never printed: it may be a secret.
impl std::fmt::Debug for EnvSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Plain(text) => write!(f, "{} bytes", text.len()),
            Self::Field(field) => write!(f, "{field:?}"),
            Self::Amount(amount) => write!(f, "{amount:?}"),
            Self::File { volume, path, key, .. } => write!(f, "{key} of {path} in {volume}"),
        }
    }
}

/// All variables of a container, those of whole objects first.
pub(super) fn build(b: &mut Builder<'_>, path: &str, given: &k8s::Container) -> Vec<EnvVariable> {
    let mut variables = Vec::new();
    for (index, from) in given.env_from.iter().flatten().enumerate() {
        object(b, &format!("{path}.envFrom[{index}]"), from, &mut variables);
    }
    for (index, variable) in given.env.iter().flatten().enumerate() {
        let path = format!("{path}.env[{index}]");
        if !is_variable(&variable.name) {
            let text = format!("is `{}`; it has to be printable and without `=`", variable.name);
            b.add_mistake(&format!("{path}.name"), text);
        }
        let source = match (&variable.value_from, variable.value.as_deref().unwrap_or_default()) {
            (None, text) => Some(EnvSource::Text(text.to_owned())),
            (Some(_), text) if !text.is_empty() => {
                b.add_mistake(&format!("{path}.valueFrom"), "stands beside value: a variable has one of both");
                None
            }
            (Some(from), _) => source(b, &format!("{path}.valueFrom"), from),
        };
        variables.extend(source.map(|source| EnvVariable { name: variable.name.clone(), source }));
    }
    variables
}

fn object(b: &mut Builder<'_>, path: &str, from: &k8s::EnvFromSource, variables: &mut Vec<EnvVariable>) {
    let (kind, field, name, optional) = match (&from.config_map_ref, &from.secret_ref) {
        (Some(map), None) => (DataKind::ConfigMap, "configMapRef", &map.name, map.optional),
        (None, Some(secret)) => (DataKind::Secret, "secretRef", &secret.name, secret.optional),
        _ => return b.add_mistake(path, "has to have one of configMapRef and secretRef"),
    };
    let (objects, namespace) = b.objects();
    let Some(texts) = objects.texts(kind, namespace, name) else {
        if optional != Some(true) {
            missing(b, &format!("{path}.{field}.name"), kind, name);
        }
        return;
    };
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let mut named = Vec::new();
    for (key, value) in texts {
        match String::from_utf8(value.to_vec()) {
            Ok(text) => named.push((format!("{prefix}{key}"), text)),
            Err(_) => b.add_mistake(&format!("{path}.{field}.name"), format!("has bytes under `{key}`, and no text")),
        }
    }
    for (name, text) in named {
        if is_variable(&name) {
            variables.push(EnvVariable { name, source: EnvSource::Plain(text) });
        } else {
            b.add_mistake(&format!("{path}.prefix"), format!("makes `{name}`, which can't be a variable's name"));
        }
    }
}

/// Says which object is not there, and what to do.
pub(super) fn missing(b: &mut Builder<'_>, path: &str, kind: DataKind, name: &str) {
    let (_, namespace) = b.objects();
    let text = format!(
        "is `{name}`, and these files have no {} of that name in namespace {namespace}: give its file as well",
        kind.name()
    );
    b.add_mistake(path, text);
}

fn source(b: &mut Builder<'_>, path: &str, from: &k8s::EnvVarSource) -> Option<EnvSource> {
    match (
        &from.config_map_key_ref,
        &from.secret_key_ref,
        &from.field_ref,
        &from.resource_field_ref,
        &from.file_key_ref,
    ) {
        (Some(key), None, None, None, None) => {
            key_of(b, &format!("{path}.configMapKeyRef"), DataKind::ConfigMap, (&key.name, &key.key, key.optional))
        }
        (None, Some(key), None, None, None) => {
            key_of(b, &format!("{path}.secretKeyRef"), DataKind::Secret, (&key.name, &key.key, key.optional))
        }
        (None, None, Some(field), None, None) => {
            Some(EnvSource::Field(fields::field(b, &format!("{path}.fieldRef"), field, FieldUse::Variable)))
        }
        (None, None, None, Some(amount), None) => {
            let path = format!("{path}.resourceFieldRef");
            Some(EnvSource::Amount(fields::amount(b, &path, amount, FieldUse::Variable)))
        }
        (None, None, None, None, Some(file)) => {
            if !is_inner_path(&file.path) {
                let text = format!("is `{}`; it has to be a path in the volume, without `..`", file.path);
                b.add_mistake(&format!("{path}.fileKeyRef.path"), text);
            }
            Some(EnvSource::File {
                volume: file.volume_name.clone(),
                path: file.path.clone(),
                key: file.key.clone(),
                optional: file.optional.unwrap_or(false),
            })
        }
        _ => {
            b.add_mistake(path, "has to have one source");
            None
        }
    }
}

fn key_of(
    b: &mut Builder<'_>,
    path: &str,
    kind: DataKind,
    (name, key, optional): (&str, &str, Option<bool>),
) -> Option<EnvSource> {
    let optional = optional == Some(true);
    let (objects, namespace) = b.objects();
    let Some(mut texts) = objects.texts(kind, namespace, name) else {
        if !optional {
            missing(b, &format!("{path}.name"), kind, name);
        }
        return None;
    };
    match texts.find(|(known, _)| *known == key).map(|(_, value)| String::from_utf8(value.to_vec())) {
        Some(Ok(text)) => Some(EnvSource::Plain(text)),
        Some(Err(_)) => {
            b.add_mistake(&format!("{path}.key"), format!("is `{key}`, under which there are bytes and no text"));
            None
        }
        None if optional => None,
        None => {
            b.add_mistake(
                &format!("{path}.key"),
                format!("is `{key}`, which the {} `{name}` does not have", kind.name()),
            );
            None
        }
    }
}
