//! A Deployment: so many pods of one template, always.

use k8s_openapi::api::apps::v1 as k8s;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::builder::{Builder, Built};
use super::job::{count, pods_at_a_time};
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
    pub(crate) strategy: RolloutStrategy,
    /// For how long a new pod is ready before it counts.
    pub(crate) min_ready_seconds: u32,
}

/// How pods of another template take the place of those that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RolloutStrategy {
    /// All end before new ones are made.
    Recreate,
    /// So many at a time, one at least.
    InTurn { at_a_time: u32 },
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
    if replicas > 1 {
        one_at_a_time(builder, template.pod());
    }
    let strategy = strategy(builder, spec.strategy.unwrap_or_default(), replicas);
    let min_ready = spec.min_ready_seconds.unwrap_or_default();
    let min_ready_seconds = count(builder, "spec.minReadySeconds", min_ready.into(), 0);
    if spec.paused == Some(true) {
        builder.add_mistake("spec.paused", "has to be false: what runs is changed when the files are read again");
    }
    let name = given.metadata.name.unwrap_or_default();
    Deployment { name, template, replicas, strategy, min_ready_seconds }
}

/// What of a pod no second one can have beside it on one node.
fn one_at_a_time(builder: &mut Builder<'_>, pod: &Pod) {
    for (index, container) in pod.containers.iter().enumerate() {
        for (port, number) in container.ports.iter().enumerate().filter_map(|(at, port)| Some((at, port.host_port?))) {
            let path = format!("spec.template.spec.containers[{index}].ports[{port}].hostPort");
            let text = format!("is {number}, which one pod of a node can have: take one replica, or no hostPort");
            builder.add_mistake(&path, text);
        }
    }
}

fn strategy(builder: &mut Builder<'_>, given: k8s::DeploymentStrategy, replicas: u32) -> RolloutStrategy {
    let words = [("RollingUpdate", false), ("Recreate", true)];
    if builder.one_of("spec.strategy.type", given.type_.as_deref(), false, &words) {
        if given.rolling_update.is_some() {
            builder.add_mistake("spec.strategy.rollingUpdate", "is not for the type Recreate");
        }
        return RolloutStrategy::Recreate;
    }
    let path = "spec.strategy.rollingUpdate.maxUnavailable";
    let at_a_time = match given.rolling_update.and_then(|rolling| rolling.max_unavailable) {
        None => 1,
        Some(IntOrString::Int(number)) => {
            if number == 0 {
                builder.add_note(path, "is 0; as a pod is replaced in its place, one is missing meanwhile");
            }
            count(builder, path, number.into(), 0)
        }
        Some(IntOrString::String(text)) => match text.strip_suffix('%').and_then(|share| share.parse::<u32>().ok()) {
            Some(share @ ..=100) => replicas * share / 100,
            _ => {
                builder.add_mistake(path, format!("is `{text}`; it has to be a number, or 0% to 100%"));
                1
            }
        },
    };
    RolloutStrategy::InTurn { at_a_time: at_a_time.max(1) }
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
        pod.metadata.owner = Some(format!("Deployment/{}", self.name));
        pod.metadata.labels.insert("pod-template-hash".to_owned(), hash.clone());
        pod
    }
}
