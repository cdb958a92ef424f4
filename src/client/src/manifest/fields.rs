//! Fields of a pod that variables and files can tell: `fieldRef` and `resourceFieldRef`.

use k8s_openapi::api::core::v1 as k8s;

use super::builder::Builder;
use super::quantity::Quantity;

/// A field whose value is known when a container starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PodField {
    Name,
    Namespace,
    Uid,
    /// One label; all of them in a file.
    Label(String),
    Annotation(String),
    Labels,
    Annotations,
    NodeName,
    ServiceAccount,
    HostIp,
    HostIps,
    PodIp,
    PodIps,
}

/// Whether a request or a limit is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceBound {
    Request,
    Limit,
}

/// An amount of a container, in a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerAmount {
    /// Nothing: of the container that asks.
    pub(crate) container: Option<String>,
    pub(crate) bound: ResourceBound,
    /// For example `memory`.
    pub(crate) resource: String,
    pub(crate) divisor: Quantity,
}

/// What may be told where: addresses are no files, and whole maps are no variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldUse {
    Variable,
    File,
}

/// The field that a `fieldRef` names.
pub(super) fn field(b: &mut Builder<'_>, path: &str, given: &k8s::ObjectFieldSelector, as_: FieldUse) -> PodField {
    let text = given.field_path.as_str();
    if let Some(version) = given.api_version.as_deref().filter(|version| !matches!(*version, "" | "v1")) {
        b.add_mistake(&format!("{path}.apiVersion"), format!("is `{version}`; it can be v1"));
    }
    let found = match text {
        "metadata.name" => Some(PodField::Name),
        "metadata.namespace" => Some(PodField::Namespace),
        "metadata.uid" => Some(PodField::Uid),
        "metadata.labels" if as_ == FieldUse::File => Some(PodField::Labels),
        "metadata.annotations" if as_ == FieldUse::File => Some(PodField::Annotations),
        "spec.nodeName" if as_ == FieldUse::Variable => Some(PodField::NodeName),
        "spec.serviceAccountName" if as_ == FieldUse::Variable => Some(PodField::ServiceAccount),
        "status.hostIP" if as_ == FieldUse::Variable => Some(PodField::HostIp),
        "status.hostIPs" if as_ == FieldUse::Variable => Some(PodField::HostIps),
        "status.podIP" if as_ == FieldUse::Variable => Some(PodField::PodIp),
        "status.podIPs" if as_ == FieldUse::Variable => Some(PodField::PodIps),
        _ => subscript(text),
    };
    found.unwrap_or_else(|| {
        let words = match as_ {
            FieldUse::Variable => {
                "metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], \
                 spec.nodeName, spec.serviceAccountName, status.hostIP, status.hostIPs, status.podIP, status.podIPs"
            }
            FieldUse::File => {
                "metadata.name, metadata.namespace, metadata.uid, metadata.labels, metadata.annotations, \
                 metadata.labels['KEY'], metadata.annotations['KEY']"
            }
        };
        b.add_mistake(&format!("{path}.fieldPath"), format!("is `{text}`; it can be {words}"));
        PodField::Name
    })
}

fn subscript(text: &str) -> Option<PodField> {
    let (map, rest) = text.split_once("['")?;
    let key = rest.strip_suffix("']").filter(|key| !key.is_empty())?.to_owned();
    match map {
        "metadata.labels" => Some(PodField::Label(key)),
        "metadata.annotations" => Some(PodField::Annotation(key)),
        _ => None,
    }
}

/// The amount that a `resourceFieldRef` names.
pub(super) fn amount(
    b: &mut Builder<'_>,
    path: &str,
    given: &k8s::ResourceFieldSelector,
    as_: FieldUse,
) -> ContainerAmount {
    let (bound, resource) = match given.resource.split_once('.') {
        Some(("limits", resource)) => (ResourceBound::Limit, resource),
        Some(("requests", resource)) => (ResourceBound::Request, resource),
        _ => (ResourceBound::Limit, ""),
    };
    if !matches!(resource, "cpu" | "memory" | "ephemeral-storage") && !resource.starts_with("hugepages-") {
        let text = "it can be limits or requests of cpu, memory, ephemeral-storage or hugepages-SIZE";
        b.add_mistake(&format!("{path}.resource"), format!("is `{}`; {text}", given.resource));
    }
    let container = given.container_name.clone().filter(|name| !name.is_empty());
    if container.is_none() && as_ == FieldUse::File {
        b.add_mistake(&format!("{path}.containerName"), "is missing: a file is of no container by itself");
    }
    ContainerAmount { container, bound, resource: resource.to_owned(), divisor: divisor(b, path, given, resource) }
}

fn divisor(b: &mut Builder<'_>, path: &str, given: &k8s::ResourceFieldSelector, resource: &str) -> Quantity {
    let text = given.divisor.as_ref().map(|quantity| quantity.0.as_str()).unwrap_or_default();
    let allowed: &[&str] = match resource {
        "cpu" => &["1m", "1"],
        _ => &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
    };
    match Quantity::parse(if text.is_empty() { "0" } else { text }) {
        Some(zero) if zero.is_zero() => Quantity::of(1),
        Some(quantity) if allowed.iter().any(|word| Quantity::parse(word) == Some(quantity)) => quantity,
        _ => {
            b.add_mistake(&format!("{path}.divisor"), format!("is `{text}`; it can be {}", allowed.join(", ")));
            Quantity::of(1)
        }
    }
}
