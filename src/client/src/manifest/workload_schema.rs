//! The fields of what makes pods of a template: Jobs and Deployments.

use super::effect::{Effect, Schema, optional, refused, required};
use super::object_schema::{METADATA, TEMPLATE_METADATA};
use super::schema::{SERVER, SPEC};

const TEMPLATE: Schema = Schema::Map(&[optional("metadata", TEMPLATE_METADATA), required("spec", SPEC)]);

/// A Job.
pub(super) const JOB: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    required("spec", JOB_SPEC),
    optional("status", Schema::Any).with(SERVER),
]);

const OWNED: Effect = Effect::Idle("its pods are known by their owner, whatever their labels are");

const JOB_SPEC: Schema = Schema::Map(&[
    optional("completions", Schema::Integer).does("so many pods have to end well"),
    optional("parallelism", Schema::Integer).does("so many pods run at a time, none for now with 0"),
    optional("backoffLimit", Schema::Integer).does("so many failures are followed by another try"),
    optional("activeDeadlineSeconds", Schema::Integer).does("the time after which the Job has failed"),
    optional("completionMode", Schema::Text).does("whether each pod has an index"),
    optional("ttlSecondsAfterFinished", Schema::Integer)
        .with(Effect::Idle("what the last pods leave stays until `peapod down`")),
    optional("suspend", Schema::Flag).does("whether no pod of it is made for now"),
    optional("selector", Schema::Any).with(OWNED),
    optional("manualSelector", Schema::Flag).with(OWNED),
    optional("podReplacementPolicy", Schema::Text).with(Effect::Idle("a pod is made anew once it has ended")),
    refused("podFailurePolicy", "every failure of a pod counts against backoffLimit"),
    refused("backoffLimitPerIndex", "failures are counted together, by backoffLimit"),
    refused("maxFailedIndexes", "failures are counted together, by backoffLimit"),
    refused("successPolicy", "a Job is done once all its completions are there"),
    refused("managedBy", "there is no other controller"),
    required("template", TEMPLATE),
]);

/// A Deployment.
pub(super) const DEPLOYMENT: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    required("spec", DEPLOYMENT_SPEC),
    optional("status", Schema::Any).with(SERVER),
]);

const STRATEGY: Schema = Schema::Map(&[
    optional("type", Schema::Text)
        .does("whether all pods end before new ones are made (Recreate), or are replaced in turn"),
    optional(
        "rollingUpdate",
        Schema::Map(&[
            optional("maxUnavailable", Schema::Share).does("so many pods are replaced at a time, one at least"),
            optional("maxSurge", Schema::Share)
                .with(Effect::Idle("a pod is replaced in its place, and none is made beside it")),
        ]),
    ),
]);

const DEPLOYMENT_SPEC: Schema = Schema::Map(&[
    optional("replicas", Schema::Integer).does("so many pods run"),
    optional("strategy", STRATEGY),
    optional("minReadySeconds", Schema::Integer).does("a new pod is ready for so long before the next is replaced"),
    optional("paused", Schema::Flag).does("has to be false"),
    optional("progressDeadlineSeconds", Schema::Integer)
        .with(Effect::Idle("a rollout waits for its pods as long as it takes")),
    optional("revisionHistoryLimit", Schema::Integer).with(Effect::Idle("the files are all the history that there is")),
    required(
        "selector",
        Schema::Map(&[optional("matchLabels", Schema::Texts).does("labels, which the template has to have")]),
    ),
    required("template", TEMPLATE),
]);
