//! The fields of a Pod that peapod carries out. Everything else is refused.

/// What a field holds.
pub(super) enum Schema {
    Text,
    Integer,
    Flag,
    /// Keys of the user's own, with text.
    Texts,
    Map(&'static [FieldSchema]),
    List(&'static Schema),
}

/// A field of a map.
pub(super) struct FieldSchema {
    pub(super) name: &'static str,
    pub(super) shape: Schema,
    pub(super) required: bool,
}

const fn optional(name: &'static str, shape: Schema) -> FieldSchema {
    FieldSchema { name, shape, required: false }
}

const fn required(name: &'static str, shape: Schema) -> FieldSchema {
    FieldSchema { name, shape, required: true }
}

/// A Pod as it stands in a manifest.
pub(super) const POD: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text),
    required("kind", Schema::Text),
    required("metadata", METADATA),
    required("spec", SPEC),
]);

const METADATA: Schema = Schema::Map(&[
    required("name", Schema::Text),
    optional("namespace", Schema::Text),
    optional("labels", Schema::Texts),
    optional("annotations", Schema::Texts),
]);

const SPEC: Schema = Schema::Map(&[
    optional("initContainers", Schema::List(&CONTAINER)),
    required("containers", Schema::List(&CONTAINER)),
    optional("volumes", Schema::List(&VOLUME)),
    optional("restartPolicy", Schema::Text),
    optional("terminationGracePeriodSeconds", Schema::Integer),
    optional("shareProcessNamespace", Schema::Flag),
    optional("hostNetwork", Schema::Flag),
    optional("hostname", Schema::Text),
]);

const CONTAINER: Schema = Schema::Map(&[
    required("name", Schema::Text),
    required("image", Schema::Text),
    optional("imagePullPolicy", Schema::Text),
    optional("command", Schema::List(&Schema::Text)),
    optional("args", Schema::List(&Schema::Text)),
    optional("workingDir", Schema::Text),
    optional("env", Schema::List(&ENV)),
    optional("ports", Schema::List(&PORT)),
    optional("volumeMounts", Schema::List(&VOLUME_MOUNT)),
]);

const ENV: Schema = Schema::Map(&[required("name", Schema::Text), optional("value", Schema::Text)]);

const PORT: Schema = Schema::Map(&[
    required("containerPort", Schema::Integer),
    optional("name", Schema::Text),
    optional("hostPort", Schema::Integer),
    optional("hostIP", Schema::Text),
    optional("protocol", Schema::Text),
]);

const VOLUME_MOUNT: Schema = Schema::Map(&[
    required("name", Schema::Text),
    required("mountPath", Schema::Text),
    optional("readOnly", Schema::Flag),
]);

const VOLUME: Schema = Schema::Map(&[
    required("name", Schema::Text),
    optional("emptyDir", Schema::Map(&[])),
    optional("hostPath", Schema::Map(&[required("path", Schema::Text), optional("type", Schema::Text)])),
]);

impl Schema {
    /// What has to stand there, as a user would say it.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Flag => "true or false",
            Self::Texts | Self::Map(_) => "a map",
            Self::List(_) => "a list",
        }
    }
}
