//! The fields of what stands beside Pods: ConfigMaps, Secrets, PersistentVolumeClaims; and of metadata.

use super::effect::{Effect, Schema, optional, refused, required};

const SERVER: Effect = Effect::Idle("it is an API server's, and there is none");
const OWNER: Effect = Effect::Idle("the name and the namespace of pods are their owner's");
const CLAIM: Effect = Effect::Idle("a claim is a folder of this node");

/// Of all kinds.
pub(super) const METADATA: Schema = Schema::Map(&[
    required("name", Schema::Text).does("the name"),
    optional("namespace", Schema::Text).does("the namespace, which is `default` without it"),
    optional("labels", Schema::Texts).does("labels"),
    optional("annotations", Schema::Texts).does("annotations"),
    optional("generateName", Schema::Text).with(SERVER),
    optional("uid", Schema::Text).with(Effect::Idle("each run has a uid of its own")),
    optional("creationTimestamp", Schema::Any).with(SERVER),
    optional("deletionTimestamp", Schema::Any).with(SERVER),
    optional("deletionGracePeriodSeconds", Schema::Any).with(SERVER),
    optional("finalizers", Schema::Any).with(SERVER),
    optional("generation", Schema::Any).with(SERVER),
    optional("managedFields", Schema::Any).with(SERVER),
    optional("ownerReferences", Schema::Any).with(SERVER),
    optional("resourceVersion", Schema::Any).with(SERVER),
    optional("selfLink", Schema::Any).with(SERVER),
]);

/// Of a template of pods, which are named after their owner.
pub(super) const TEMPLATE_METADATA: Schema = Schema::Map(&[
    optional("labels", Schema::Texts).does("labels of the pods"),
    optional("annotations", Schema::Texts).does("annotations of the pods"),
    optional("name", Schema::Text).with(OWNER),
    optional("namespace", Schema::Text).with(OWNER),
    optional("creationTimestamp", Schema::Any).with(SERVER),
]);

/// A ConfigMap.
pub(super) const CONFIG_MAP: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    optional("data", Schema::Texts).does("texts for variables and files"),
    optional("binaryData", Schema::Texts).does("bytes for files, in base64"),
    optional("immutable", Schema::Flag).does("that it does not change as long as pods run that were given it"),
]);

/// A Secret.
pub(super) const SECRET: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    optional("data", Schema::Texts).does("for variables, files and pulls, in base64"),
    optional("stringData", Schema::Texts).does("the same as plain text"),
    optional("type", Schema::Text).does("which keys it has to have"),
    optional("immutable", Schema::Flag).does("that it does not change as long as pods run that were given it"),
]);

/// A PersistentVolumeClaim.
pub(super) const PERSISTENT_VOLUME_CLAIM: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    required("spec", CLAIM_SPEC),
    optional("status", Schema::Any).with(SERVER),
]);

/// What a claim asks for.
pub(super) const CLAIM_SPEC: Schema = Schema::Map(&[
    optional("accessModes", Schema::List(&Schema::Text)).with(CLAIM),
    optional("resources", Schema::Any).with(Effect::Idle("a folder has the size of its disk")),
    optional("storageClassName", Schema::Text).with(CLAIM),
    optional("volumeAttributesClassName", Schema::Text).with(CLAIM),
    optional("volumeMode", Schema::Text).does("has to be Filesystem"),
    optional("volumeName", Schema::Text).with(CLAIM),
    optional("selector", Schema::Any).with(CLAIM),
    refused("dataSource", "nothing is copied into a folder: fill it with an init container"),
    refused("dataSourceRef", "nothing is copied into a folder: fill it with an init container"),
]);
