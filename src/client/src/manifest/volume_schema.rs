//! The fields of volumes and of their mounts.

use super::effect::{Effect, FieldSchema, Schema, optional, refused, required};
use super::env_schema::{FIELD, RESOURCE_FIELD};
use super::object_schema::CLAIM_SPEC;

/// Sources that are drivers of clouds and storage systems.
const DRIVER: &str = "it needs a storage driver: mount it on the node, and use hostPath";

/// A volume's place in a container.
pub(super) const VOLUME_MOUNT: Schema = Schema::Map(&[
    required("name", Schema::Text).does("a volume"),
    required("mountPath", Schema::Text).does("where the container sees it"),
    optional("readOnly", Schema::Flag).does("true: can't be written"),
    optional("recursiveReadOnly", Schema::Text).does("whether what is mounted in it can't be written either"),
    optional("mountPropagation", Schema::Text).does("whether later mounts are seen on the other side"),
    optional("subPath", Schema::Text).does("only this part of the volume"),
    optional("subPathExpr", Schema::Text).does("only this part of the volume, with the container's variables"),
    optional("bindMountOptions", Schema::List(&Schema::Text)).does("options of the mount"),
]);

/// A volume.
pub(super) const VOLUME: Schema = Schema::Map(&[
    required("name", Schema::Text).does("the volume's name"),
    optional("emptyDir", EMPTY_DIR).does("a folder of the pod's own"),
    optional(
        "hostPath",
        Schema::Map(&[
            required("path", Schema::Text).does("a path of the node"),
            optional("type", Schema::Text).does("what has to be there"),
        ]),
    ),
    optional(
        "configMap",
        Schema::Map(&[
            required("name", Schema::Text).does("a file for each key of this ConfigMap of these files"),
            ITEMS,
            DEFAULT_MODE,
            DEFAULT_USER,
            OPTIONAL,
        ]),
    ),
    optional(
        "secret",
        Schema::Map(&[
            required("secretName", Schema::Text).does("a file, in memory, for each key of this Secret of these files"),
            ITEMS,
            DEFAULT_MODE,
            DEFAULT_USER,
            OPTIONAL,
        ]),
    ),
    optional("downwardAPI", Schema::Map(&[DOWNWARD_ITEMS, DEFAULT_MODE, DEFAULT_USER])),
    optional("projected", Schema::Map(&[optional("sources", Schema::List(&PROJECTION)), DEFAULT_MODE, DEFAULT_USER])),
    optional(
        "image",
        Schema::Map(&[
            required("reference", Schema::Text).does("the files of this image, read-only"),
            optional("pullPolicy", Schema::Text).does("when the image is pulled"),
        ]),
    ),
    optional(
        "persistentVolumeClaim",
        Schema::Map(&[
            required("claimName", Schema::Text).does("a folder of that name, which stays when the pod is gone"),
            optional("readOnly", Schema::Flag).does("true: can't be written"),
        ]),
    ),
    optional(
        "ephemeral",
        Schema::Map(&[required(
            "volumeClaimTemplate",
            Schema::Map(&[
                optional("metadata", Schema::Any).with(Effect::Idle("the claim is a folder of the pod's own")),
                required("spec", CLAIM_SPEC),
            ]),
        )]),
    )
    .does("a folder of the pod's own"),
    refused("awsElasticBlockStore", DRIVER),
    refused("azureDisk", DRIVER),
    refused("azureFile", DRIVER),
    refused("cephfs", DRIVER),
    refused("cinder", DRIVER),
    refused("csi", DRIVER),
    refused("fc", DRIVER),
    refused("flexVolume", DRIVER),
    refused("flocker", DRIVER),
    refused("gcePersistentDisk", DRIVER),
    refused("gitRepo", "clone it with an init container"),
    refused("glusterfs", DRIVER),
    refused("iscsi", DRIVER),
    refused("nfs", DRIVER),
    refused("photonPersistentDisk", DRIVER),
    refused("portworxVolume", DRIVER),
    refused("quobyte", DRIVER),
    refused("rbd", DRIVER),
    refused("scaleIO", DRIVER),
    refused("storageos", DRIVER),
    refused("vsphereVolume", DRIVER),
]);

const EMPTY_DIR: Schema = Schema::Map(&[
    optional("medium", Schema::Text).does("Memory: it is kept in memory"),
    optional("sizeLimit", Schema::Quantity).does("how much fits into it, if it is in memory"),
    optional("mode", Schema::Integer).does("the folder's mode"),
]);

const ITEMS: FieldSchema = optional(
    "items",
    Schema::List(&Schema::Map(&[
        required("key", Schema::Text).does("only this key"),
        required("path", Schema::Text).does("its file"),
        optional("mode", Schema::Integer).does("the file's mode"),
        optional("user", Schema::Integer).does("the file's owner"),
    ])),
);

const DOWNWARD_ITEMS: FieldSchema = optional(
    "items",
    Schema::List(&Schema::Map(&[
        required("path", Schema::Text).does("a file"),
        optional("fieldRef", FIELD),
        optional("resourceFieldRef", RESOURCE_FIELD),
        optional("mode", Schema::Integer).does("the file's mode"),
        optional("user", Schema::Integer).does("the file's owner"),
    ])),
);

const DEFAULT_MODE: FieldSchema = optional("defaultMode", Schema::Integer).does("the mode of its files");
const DEFAULT_USER: FieldSchema = optional("defaultUser", Schema::Integer).does("the owner of its files");
const OPTIONAL: FieldSchema = optional("optional", Schema::Flag).does("true: it may be missing");

const PROJECTION: Schema = Schema::Map(&[
    optional(
        "configMap",
        Schema::Map(&[
            required("name", Schema::Text).does("a file for each key of this ConfigMap of these files"),
            ITEMS,
            OPTIONAL,
        ]),
    ),
    optional(
        "secret",
        Schema::Map(&[
            required("name", Schema::Text).does("a file, in memory, for each key of this Secret of these files"),
            ITEMS,
            OPTIONAL,
        ]),
    ),
    optional("downwardAPI", Schema::Map(&[DOWNWARD_ITEMS])),
    refused("serviceAccountToken", "there is no API server to give tokens, nor anybody to show them to"),
    refused("clusterTrustBundle", "there is no API server that has them"),
    refused("podCertificate", "there is nobody to sign certificates"),
]);
