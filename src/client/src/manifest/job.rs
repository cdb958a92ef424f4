//! A Job: pods that are to end well, so many of them, with so many tries.

use k8s_openapi::api::batch::v1 as k8s;

use super::builder::{Builder, Built};
use super::env::{EnvSource, EnvVariable};
use super::objects::Objects;
use super::pod::Pod;
use super::restart::RestartPolicy;
use super::template::{self, PodTemplate};
use super::tree::YamlNode;
use crate::bounds::PODS_AT_A_TIME;

/// A Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) template: PodTemplate,
    pub(crate) completions: Completions,
    /// How many pods run at a time; 0 while it waits for another wording.
    pub(crate) parallelism: u32,
    /// How many failures it may have.
    pub(crate) backoff_limit: u32,
    pub(crate) active_deadline: Option<u32>,
}

/// When a Job is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Completions {
    /// So many pods have ended well.
    Count(u32),
    /// A pod of each index from 0 on has ended well; it knows its index.
    Indexed(u32),
    /// One pod has ended well, and so have the others: they share the work among themselves.
    WorkQueue,
}

/// Builds the Job, or says every mistake.
pub(super) fn build_job(document: &YamlNode, objects: &Objects) -> Built<Job> {
    let (template, mut notes) = template::build(document, objects)?;
    let mut builder = Builder::new(document, objects);
    let given = builder.read("Job")?;
    let job = job(&mut builder, given, template);
    let (job, further) = builder.into_result(job)?;
    notes.extend(further);
    Ok((job, notes))
}

fn job(builder: &mut Builder<'_>, given: k8s::Job, template: PodTemplate) -> Job {
    let spec = given.spec.unwrap_or_default();
    if template.pod().restart == RestartPolicy::Always {
        let text = "has to be Never or OnFailure: a Job's pods end";
        builder.add_mistake("spec.template.spec.restartPolicy", text);
    }
    let modes = [("NonIndexed", false), ("Indexed", true)];
    let mode = spec.completion_mode.as_deref();
    let is_indexed = builder.one_of("spec.completionMode", mode, false, &modes);
    let completions = spec.completions.map(|given| count(builder, "spec.completions", given.into(), 0));
    let parallelism = spec.parallelism.map(|given| pods_at_a_time(builder, "spec.parallelism", given, 0));
    let completions = match (completions, is_indexed, parallelism) {
        (Some(count), true, _) => Completions::Indexed(count),
        (None, true, _) => {
            builder.add_mistake("spec.completions", "is missing, and completionMode is Indexed");
            Completions::Indexed(1)
        }
        (Some(count), false, _) => Completions::Count(count),
        (None, false, Some(_)) => Completions::WorkQueue,
        (None, false, None) => Completions::Count(1),
    };
    let is_suspended = spec.suspend == Some(true);
    let parallelism = if is_suspended { Some(0) } else { parallelism };
    if parallelism == Some(0) {
        let path = if is_suspended { "spec.suspend" } else { "spec.parallelism" };
        builder.add_note(path, "means that no pod of it is made until it says something else");
    }
    let limit = count(builder, "spec.backoffLimit", spec.backoff_limit.unwrap_or(6).into(), 0);
    let deadline = spec.active_deadline_seconds;
    Job {
        name: given.metadata.name.unwrap_or_default(),
        template,
        completions,
        parallelism: parallelism.unwrap_or(1),
        backoff_limit: limit,
        active_deadline: deadline.map(|seconds| count(builder, "spec.activeDeadlineSeconds", seconds, 1)),
    }
}

/// Pods beside each other, as one machine can have them.
pub(super) fn pods_at_a_time(builder: &mut Builder<'_>, path: &str, given: i32, least: u32) -> u32 {
    let pods = count(builder, path, given.into(), least);
    if pods > PODS_AT_A_TIME {
        builder.add_mistake(path, format!("is {given}; here it can be {PODS_AT_A_TIME} at most"));
    }
    pods.min(PODS_AT_A_TIME)
}

/// A number from `least` on.
pub(super) fn count(builder: &mut Builder<'_>, path: &str, given: i64, least: u32) -> u32 {
    u32::try_from(given).ok().filter(|count| *count >= least).unwrap_or_else(|| {
        let most = if given > 0 { format!(", and {} at most", u32::MAX) } else { String::new() };
        builder.add_mistake(path, format!("is {given}; it has to be {least} or more{most}"));
        least
    })
}

impl Job {
    /// That of its pods.
    pub(crate) fn namespace(&self) -> &str {
        &self.template.pod().namespace
    }

    /// The pod of a try, and of an index if they have some.
    pub(crate) fn pod(&self, number: u32, index: Option<u32>) -> Pod {
        let name = match index {
            Some(index) => format!("{}-{index}-{number}", self.name),
            None => format!("{}-{number}", self.name),
        };
        let mut pod = self.template.named(&name);
        pod.metadata.owner = Some(format!("Job/{}", self.name));
        for key in ["batch.kubernetes.io/job-name", "job-name"] {
            pod.metadata.labels.insert(key.to_owned(), self.name.clone());
        }
        if let Some(index) = index {
            let (key, index) = ("batch.kubernetes.io/job-completion-index", index.to_string());
            pod.metadata.labels.insert(key.to_owned(), index.clone());
            pod.metadata.annotations.insert(key.to_owned(), index.clone());
            pod.network.name_after(&format!("{}-{index}", self.name));
            for container in pod.init_containers.iter_mut().chain(&mut pod.containers) {
                let source = EnvSource::Plain(index.clone());
                container.process.env.push(EnvVariable { name: "JOB_COMPLETION_INDEX".to_owned(), source });
            }
        }
        pod
    }
}
