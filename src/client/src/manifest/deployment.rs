//! A Deployment: so many pods of one template, always.

use k8s_openapi::api::apps::v1 as k8s;

use super::builder::{Builder, Built};
use super::job::pods_at_a_time;
use super::objects::Objects;
use super::pod::Pod;
use super::restart::RestartPolicy;
use super::template::{self, PodTemplate};
use super::tree::YamlNode;

/// A Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    pub(crate) name: String,
    pub(crate) template: PodTemplate,
    pub(crate) replicas: u32,
}

/// Builds the Deployment, or says every mistake.
pub(super) fn build_deployment(document: &YamlNode, objects: &Objects) -> Built<Deployment> {
    let (template, mut notes) = template::build(document, objects)?;
    let mut builder = Builder::new(document, objects);
    let given = builder.read("Deployment")?;
    let deployment = deployment(&mut builder, given, template);
    let (deployment, further) = builder.into_result(deployment)?;
    notes.extend(further);
    Ok((deployment, notes))
}

fn deployment(builder: &mut Builder<'_>, given: k8s::Deployment, template: PodTemplate) -> Deployment {
    let spec = given.spec;
    if template.pod().restart != RestartPolicy::Always {
        builder.add_mistake("spec.template.spec.restartPolicy", "has to be Always, as of every Deployment");
    }
    if template.pod().active_deadline.is_some() {
        let path = "spec.template.spec.activeDeadlineSeconds";
        builder.add_mistake(path, "is not for a Deployment, whose pods live on");
    }
    let selected = spec.selector.match_labels.unwrap_or_default();
    if selected.is_empty() {
        builder.add_mistake("spec.selector.matchLabels", "is missing");
    }
    for (key, value) in &selected {
        if template.pod().metadata.labels.get(key) != Some(value) {
            let path = format!("spec.selector.matchLabels.{key}");
            builder.add_mistake(&path, format!("is `{value}`, which spec.template.metadata.labels does not say"));
        }
    }
    let replicas = pods_at_a_time(builder, "spec.replicas", spec.replicas.unwrap_or(1), 0);
    Deployment { name: given.metadata.name.unwrap_or_default(), template, replicas }
}

impl Deployment {
    /// That of its pods.
    pub(crate) fn namespace(&self) -> &str {
        &self.template.pod().namespace
    }

    /// One of its pods.
    pub(crate) fn pod(&self, slot: u32) -> Pod {
        let hash = &self.template.hash;
        let mut pod = self.template.named(&format!("{}-{hash}-{slot}", self.name));
        pod.metadata.labels.insert("pod-template-hash".to_owned(), hash.clone());
        pod
    }
}
