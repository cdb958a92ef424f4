//! The fields of a Pod that peapod carries out. Everything else is refused.

/// What a field holds.
pub(super) enum Shape {
    Text,
    Integer,
    Flag,
    /// Keys of the user's own, with text.
    Texts,
    Map(&'static [Field]),
    List(&'static Shape),
}

/// A field of a map.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) required: bool,
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

/// A Pod as it stands in a manifest.
pub(super) const POD: Shape = Shape::Map(&[
    required("apiVersion", Shape::Text),
    required("kind", Shape::Text),
    required("metadata", METADATA),
    required("spec", SPEC),
]);

const METADATA: Shape = Shape::Map(&[
    required("name", Shape::Text),
    optional("namespace", Shape::Text),
    optional("labels", Shape::Texts),
    optional("annotations", Shape::Texts),
]);

const SPEC: Shape = Shape::Map(&[
    optional("initContainers", Shape::List(&CONTAINER)),
    required("containers", Shape::List(&CONTAINER)),
    optional("volumes", Shape::List(&VOLUME)),
    optional("restartPolicy", Shape::Text),
    optional("terminationGracePeriodSeconds", Shape::Integer),
    optional("shareProcessNamespace", Shape::Flag),
    optional("hostNetwork", Shape::Flag),
    optional("hostname", Shape::Text),
]);

const CONTAINER: Shape = Shape::Map(&[
    required("name", Shape::Text),
    required("image", Shape::Text),
    optional("imagePullPolicy", Shape::Text),
    optional("command", Shape::List(&Shape::Text)),
    optional("args", Shape::List(&Shape::Text)),
    optional("workingDir", Shape::Text),
    optional("env", Shape::List(&ENV)),
    optional("ports", Shape::List(&PORT)),
    optional("volumeMounts", Shape::List(&VOLUME_MOUNT)),
]);

const ENV: Shape = Shape::Map(&[required("name", Shape::Text), optional("value", Shape::Text)]);

const PORT: Shape = Shape::Map(&[
    required("containerPort", Shape::Integer),
    optional("name", Shape::Text),
    optional("hostPort", Shape::Integer),
    optional("hostIP", Shape::Text),
    optional("protocol", Shape::Text),
]);

const VOLUME_MOUNT: Shape =
    Shape::Map(&[required("name", Shape::Text), required("mountPath", Shape::Text), optional("readOnly", Shape::Flag)]);

const VOLUME: Shape = Shape::Map(&[
    required("name", Shape::Text),
    optional("emptyDir", Shape::Map(&[])),
    optional("hostPath", Shape::Map(&[required("path", Shape::Text), optional("type", Shape::Text)])),
]);

impl Shape {
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
