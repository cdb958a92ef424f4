//! The fields of variables, and of what else can tell a pod's own fields.

use super::effect::{Schema, optional, required};

/// A variable.
pub(super) const ENV: Schema = Schema::Map(&[
    required("name", Schema::Text).does("a variable"),
    optional("value", Schema::Text).does("its value"),
    optional(
        "valueFrom",
        Schema::Map(&[
            optional("configMapKeyRef", KEY),
            optional("secretKeyRef", KEY),
            optional("fieldRef", FIELD),
            optional("resourceFieldRef", RESOURCE_FIELD),
            optional(
                "fileKeyRef",
                Schema::Map(&[
                    required("volumeName", Schema::Text).does("the volume in which the file is"),
                    required("path", Schema::Text).does("a file of variables"),
                    required("key", Schema::Text).does("the variable in it"),
                    optional("optional", Schema::Flag).does("true: it may be missing"),
                ]),
            ),
        ]),
    ),
]);

const KEY: Schema = Schema::Map(&[
    required("name", Schema::Text).does("an object of these files"),
    required("key", Schema::Text).does("the value is what stands under this key"),
    optional("optional", Schema::Flag).does("true: it may be missing"),
]);

const OBJECT: Schema = Schema::Map(&[
    required("name", Schema::Text).does("each key of this object of these files is a variable"),
    optional("optional", Schema::Flag).does("true: it may be missing"),
]);

/// Variables of a whole object.
pub(super) const ENV_FROM: Schema = Schema::Map(&[
    optional("prefix", Schema::Text).does("stands before each name"),
    optional("configMapRef", OBJECT),
    optional("secretRef", OBJECT),
]);

/// A field of the pod as a value.
pub(super) const FIELD: Schema = Schema::Map(&[
    required("fieldPath", Schema::Text).does("the value is that of this field"),
    optional("apiVersion", Schema::Text).does("v1"),
]);

/// A container's requests and limits as a value.
pub(super) const RESOURCE_FIELD: Schema = Schema::Map(&[
    required("resource", Schema::Text).does("the value is this amount"),
    optional("containerName", Schema::Text).does("of that container"),
    optional("divisor", Schema::Quantity).does("the unit in which it is told"),
]);
