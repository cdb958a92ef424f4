//! The fields of what makes pods of a template: Jobs and Deployments.

use super::effect::{Schema, optional, required};
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

const JOB_SPEC: Schema = Schema::Map(&[
    optional("completions", Schema::Integer).does("so many pods have to end well"),
    optional("parallelism", Schema::Integer).does("so many pods run at a time"),
    optional("backoffLimit", Schema::Integer).does("so many failures are followed by another try"),
    optional("activeDeadlineSeconds", Schema::Integer).does("the time after which the Job has failed"),
    optional("completionMode", Schema::Text).does("whether each pod has an index"),
    optional("ttlSecondsAfterFinished", Schema::Integer).does("pods go when they have ended, which is soon enough"),
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

const DEPLOYMENT_SPEC: Schema = Schema::Map(&[
    optional("replicas", Schema::Integer).does("so many pods run"),
    required(
        "selector",
        Schema::Map(&[optional("matchLabels", Schema::Texts).does("labels, which the template has to have")]),
    ),
    required("template", TEMPLATE),
]);
