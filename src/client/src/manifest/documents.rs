//! Several documents of several files: each by its kind, what is referred to before those that refer.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1 as k8s;
use serde_saphyr::budget::BudgetBreach;

use super::builder::{Builder, Built};
use super::check::{Findings, check};
use super::effect::Schema;
use super::explain::{self, ExplainedField};
use super::known::KnownFields;
use super::object_schema::{CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, SECRET};
use super::objects::Objects;
use super::schema::POD;
use super::tree::{YamlNode, YamlValue};
use super::workload_schema::{DEPLOYMENT, JOB};
use super::{IdleField, ManifestError, Mistake, Workload, deployment, job, pod, template};
use crate::bounds::{MANIFEST_MISTAKES, MANIFEST_TEXTS, MANIFEST_VALUES};

/// The text of a file.
#[derive(Clone, Debug)]
pub(crate) struct ManifestSource {
    /// As the user called it; empty if that needs no saying.
    pub(crate) name: String,
    /// Its absolute path, if it has one.
    pub(crate) path: Option<String>,
    pub(crate) text: String,
}

/// What files ask for.
#[derive(Clone, Debug)]
pub(crate) struct LoadedManifest {
    /// One at least, in the order of the files.
    pub(crate) workloads: Vec<Workload>,
    /// What the user should know.
    pub(crate) notes: Vec<String>,
    /// What the workloads refer to.
    pub(crate) objects: Objects,
}

/// What the fields of one document do.
#[derive(Clone, Debug)]
pub(crate) struct Explained {
    pub(crate) file: String,
    pub(crate) kind: &'static str,
    pub(crate) fields: Vec<ExplainedField>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ManifestKind {
    Pod,
    Job,
    Deployment,
    ConfigMap,
    Secret,
    Claim,
}

struct KindedDocument<'a> {
    kind: ManifestKind,
    source: &'a ManifestSource,
    node: YamlNode,
}

impl ManifestKind {
    fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Job => "Job",
            Self::Deployment => "Deployment",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::Claim => "PersistentVolumeClaim",
        }
    }

    fn schema(self) -> &'static Schema {
        match self {
            Self::Pod => &POD,
            Self::Job => &JOB,
            Self::Deployment => &DEPLOYMENT,
            Self::ConfigMap => &CONFIG_MAP,
            Self::Secret => &SECRET,
            Self::Claim => &PERSISTENT_VOLUME_CLAIM,
        }
    }

    fn known(self, node: &YamlNode) -> KnownFields {
        match self {
            Self::Pod => KnownFields::of::<k8s::Pod>(self.name(), node),
            Self::Job => KnownFields::of::<batch::Job>(self.name(), node),
            Self::Deployment => KnownFields::of::<apps::Deployment>(self.name(), node),
            Self::ConfigMap => KnownFields::of::<k8s::ConfigMap>(self.name(), node),
            Self::Secret => KnownFields::of::<k8s::Secret>(self.name(), node),
            Self::Claim => KnownFields::of::<k8s::PersistentVolumeClaim>(self.name(), node),
        }
    }
}

/// Reads all documents, and builds what they want to run.
pub(crate) fn load(sources: &[ManifestSource]) -> Result<LoadedManifest, ManifestError> {
    let (documents, idle) = checked(sources)?;
    let mut objects = Objects::default();
    let mut mistakes = Vec::new();
    for KindedDocument { kind, source, node } in &documents {
        let added = match kind {
            ManifestKind::Pod | ManifestKind::Job | ManifestKind::Deployment => Ok(()),
            ManifestKind::ConfigMap => objects.add_config_map(node),
            ManifestKind::Secret => objects.add_secret(node),
            ManifestKind::Claim => objects.add_claim(node),
        };
        mistakes.extend(named(added.err().unwrap_or_default(), &source.name));
    }
    if !mistakes.is_empty() {
        // What refers to these would be told that they are not there.
        return Err(ManifestError::Mistakes(mistakes));
    }
    let (mut workloads, mut notes) = (Vec::<Workload>::new(), notes(&idle));
    for KindedDocument { kind, source, node } in &documents {
        match built(*kind, node, &objects) {
            None => {}
            Some(Ok((mut workload, further))) => {
                let name = &source.name;
                let file = if name.is_empty() { String::new() } else { format!("{name}, ") };
                notes.extend(further.into_iter().map(|note| format!("{file}{note}")));
                if workloads.iter().any(|other| other.is_named_as(&workload)) {
                    mistakes.extend(named(vec![twin(node, &workload)], name));
                }
                if let (Workload::Pod(pod), Some(spec)) = (&mut workload, node.get("spec")) {
                    pod.metadata.wording = template::hash(spec);
                }
                if let Some(path) = &source.path {
                    workload.set_file(path);
                }
                workloads.push(workload);
            }
            Some(Err(found)) => mistakes.extend(named(found, &source.name)),
        }
    }
    match (mistakes.is_empty(), workloads.is_empty()) {
        (false, _) => Err(ManifestError::Mistakes(mistakes)),
        (true, true) => Err(ManifestError::NoPod),
        (true, false) => Ok(LoadedManifest { workloads, notes, objects }),
    }
}

/// What a document wants to run, if its kind is run.
fn built(kind: ManifestKind, node: &YamlNode, objects: &Objects) -> Option<Built<Workload>> {
    fn as_workload<T>(built: Built<T>, of: fn(T) -> Workload) -> Option<Built<Workload>> {
        Some(built.map(|(built, notes)| (of(built), notes)))
    }
    match kind {
        ManifestKind::Pod => as_workload(pod::build(Builder::new(node, objects)), Workload::Pod),
        ManifestKind::Job => as_workload(job::build_job(node, objects), Workload::Job),
        ManifestKind::Deployment => as_workload(deployment::build_deployment(node, objects), Workload::Deployment),
        ManifestKind::ConfigMap | ManifestKind::Secret | ManifestKind::Claim => None,
    }
}

fn twin(node: &YamlNode, workload: &Workload) -> Mistake {
    let ((kind, _, name), path) = (workload.key(), "metadata.name".to_owned());
    let line = node.line_at(&path);
    Mistake { file: String::new(), path, line, text: format!("is `{name}`, as is another {kind}'s") }
}

/// What each field of the documents does; they are those that `load` takes.
pub(crate) fn explain(sources: &[ManifestSource]) -> Result<Vec<Explained>, ManifestError> {
    load(sources)?;
    let (documents, _) = checked(sources)?;
    let explained = documents.into_iter().map(|document| Explained {
        fields: explain::explain(&document.node, document.kind.schema()),
        file: document.source.name.clone(),
        kind: document.kind.name(),
    });
    Ok(explained.collect())
}

/// All documents, of which no field is refused, and the fields that change nothing.
fn checked(sources: &[ManifestSource]) -> Result<(Vec<KindedDocument<'_>>, Vec<IdleField>), ManifestError> {
    let (mut documents, mut room) = (Vec::new(), ManifestRoom::default());
    let mut others = Vec::new();
    for source in sources {
        for node in parse(source, &mut room)? {
            match classify(source, node) {
                Ok(document) => documents.push(document),
                Err(other) => others.push(other),
            }
        }
    }
    if let Some(error) = ManifestError::others(others) {
        return Err(error);
    }
    if documents.is_empty() {
        return Err(ManifestError::Empty);
    }
    let (mut mistakes, mut idle) = (Vec::new(), Vec::new());
    for KindedDocument { kind, source, node } in &documents {
        let found: Findings = check(node, kind.schema(), kind.known(node));
        mistakes.extend(named(found.mistakes, &source.name));
        idle.extend(found.idle);
    }
    if mistakes.is_empty() { Ok((documents, idle)) } else { Err(ManifestError::Mistakes(mistakes)) }
}

impl ManifestError {
    /// All kinds that are not carried out, each in a line of its own, as far as they are shown.
    fn others(found: Vec<OtherDocument>) -> Option<Self> {
        let left = found.len().saturating_sub(MANIFEST_MISTAKES);
        let mut lines = found.into_iter().take(MANIFEST_MISTAKES);
        let OtherDocument { place, mut text } = lines.next()?;
        for other in lines {
            text += &format!("\n{}{}", other.place, other.text);
        }
        if left > 0 {
            text += &format!("\nand {left} more");
        }
        Some(Self::OtherKind { place, text })
    }
}

/// A document of another kind.
struct OtherDocument {
    place: String,
    text: String,
}

fn named(mistakes: Vec<Mistake>, file: &str) -> impl Iterator<Item = Mistake> {
    mistakes.into_iter().map(|mistake| Mistake { file: file.to_owned(), ..mistake })
}

/// What the files that are still to be read may have.
struct ManifestRoom {
    values: usize,
    bytes: usize,
}

impl Default for ManifestRoom {
    fn default() -> Self {
        Self { values: MANIFEST_VALUES, bytes: MANIFEST_TEXTS }
    }
}

impl ManifestRoom {
    /// Takes what documents need away from it; false if that is too much.
    fn take(&mut self, documents: &[YamlNode]) -> bool {
        for (values, bytes) in documents.iter().map(YamlNode::size) {
            let left = self.values.checked_sub(values).zip(self.bytes.checked_sub(bytes));
            let Some((values, bytes)) = left else { return false };
            *self = Self { values, bytes };
        }
        true
    }
}

/// Whether this is what a budget says, at whatever alias.
fn is_too_large(mut error: &serde_saphyr::Error) -> bool {
    while let serde_saphyr::Error::AliasError { error: inner, .. }
    | serde_saphyr::Error::WithSnippet { error: inner, .. } = error
    {
        error = inner;
    }
    let serde_saphyr::Error::Budget { breach, .. } = error else { return false };
    matches!(breach, BudgetBreach::Nodes { .. } | BudgetBreach::ScalarBytes { .. })
}

/// The documents of a file; those of a List by themselves.
fn parse(source: &ManifestSource, room: &mut ManifestRoom) -> Result<Vec<YamlNode>, ManifestError> {
    let budget = serde_saphyr::budget! { max_nodes: room.values, max_total_scalar_bytes: room.bytes };
    // Modes are written as in C, `0644`; kubectl takes them so.
    let options = serde_saphyr::options! { legacy_octal_numbers: true, budget: budget };
    let too_large = || {
        let place = if source.name.is_empty() { String::new() } else { format!("{}: ", source.name) };
        ManifestError::TooLarge { place }
    };
    let read = serde_saphyr::from_multiple_with_options::<YamlNode>(&source.text, options);
    let read = read.map_err(|error| {
        if is_too_large(&error) { too_large() } else { ManifestError::Syntax(syntax(&source.name, &error)) }
    })?;
    if !room.take(&read) {
        return Err(too_large());
    }
    let mut documents = Vec::new();
    for node in read.into_iter().filter(|node| node.value != YamlValue::Null) {
        match node.get("items") {
            Some(YamlNode { value: YamlValue::List(items), .. })
                if node.get("kind").and_then(YamlNode::text).is_some_and(|kind| kind.ends_with("List")) =>
            {
                documents.extend(items.iter().cloned());
            }
            _ => documents.push(node),
        }
    }
    Ok(documents)
}

/// Tells another kind before its fields are called unknown one by one.
fn classify(source: &ManifestSource, node: YamlNode) -> Result<KindedDocument<'_>, OtherDocument> {
    let field = |name| node.get(name).and_then(YamlNode::text).unwrap_or_default();
    let kind = match (field("apiVersion"), field("kind")) {
        ("" | "v1", "" | "Pod") => ManifestKind::Pod,
        ("batch/v1", "Job") => ManifestKind::Job,
        ("apps/v1", "Deployment") => ManifestKind::Deployment,
        ("" | "v1", "ConfigMap") => ManifestKind::ConfigMap,
        ("" | "v1", "Secret") => ManifestKind::Secret,
        ("" | "v1", "PersistentVolumeClaim") => ManifestKind::Claim,
        (version, kind) => {
            let place = match source.name.as_str() {
                "" => format!("line {}: ", node.line),
                name => format!("{name}, line {}: ", node.line),
            };
            return Err(OtherDocument { place, text: other_kind(version, kind) });
        }
    };
    Ok(KindedDocument { kind, source, node })
}

/// What to do with a kind that is not carried out.
fn other_kind(version: &str, kind: &str) -> String {
    let way = match kind {
        "ReplicaSet" | "ReplicationController" => "write it as a Deployment",
        "StatefulSet" | "DaemonSet" => "write what stands below its spec.template as a Pod of its own",
        "CronJob" => "write what stands below its spec.jobTemplate as a Job, and let a timer run it",
        "Service" | "Ingress" | "Endpoints" | "EndpointSlice" => {
            "leave it out, and publish ports with hostPort; containers of a pod reach each other at localhost"
        }
        "Namespace" => "leave it out: a namespace is there as soon as a Pod names it",
        "PersistentVolume" | "StorageClass" => "leave it out: a PersistentVolumeClaim is a folder of this node",
        "ServiceAccount" | "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => {
            "leave it out: there is no API server to have rights with"
        }
        _ => "leave it out, or run a cluster whose kubelets use peapod (docs/kubelet.md)",
    };
    format!(
        "it is a {kind} of apiVersion {version}, and `peapod run` runs Pods, Jobs (batch/v1) and \
         Deployments (apps/v1), with ConfigMaps, Secrets and PersistentVolumeClaims beside them: {way}"
    )
}

/// One note for each reason.
fn notes(idle: &[IdleField]) -> Vec<String> {
    // What was written once for many containers is said once.
    let mut seen = BTreeSet::new();
    let mut reasons: Vec<(&'static str, Vec<&str>, usize)> = Vec::new();
    for IdleField { path, why } in idle.iter().filter(|field| seen.insert((field.why, field.path.as_str()))) {
        match reasons.iter_mut().find(|(reason, ..)| reason == why) {
            Some((_, paths, more)) if paths.len() == MANIFEST_MISTAKES => *more += 1,
            Some((_, paths, _)) => paths.push(path),
            None => reasons.push((why, vec![path], 0)),
        }
    }
    let line = |(why, paths, more): &(&str, Vec<&str>, usize)| {
        let more = if *more == 0 { String::new() } else { format!(" and {more} more") };
        format!("without effect here: {}{more} ({why})", paths.join(", "))
    };
    reasons.iter().map(line).collect()
}

/// One line, without the drawing of the place.
fn syntax(name: &str, error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.lines().next().unwrap_or_default();
    let file = if name.is_empty() { String::new() } else { format!("{name}, ") };
    match error.location() {
        Some(place) if !text.contains("line ") => format!("{file}line {}: {text}", place.line()),
        _ => format!("{file}{text}"),
    }
}
