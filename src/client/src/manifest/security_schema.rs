//! The fields of security contexts.

use super::effect::{Effect, FieldSchema, Schema, optional, refused, required};

const WINDOWS: FieldSchema = refused("windowsOptions", "this is Linux");

const RUN_AS_USER: FieldSchema = optional("runAsUser", Schema::Integer).does("the user, in place of the image's");
const RUN_AS_GROUP: FieldSchema = optional("runAsGroup", Schema::Integer).does("the primary group");
const RUN_AS_NON_ROOT: FieldSchema =
    optional("runAsNonRoot", Schema::Flag).does("true: it is not started if its user is root");
const SECCOMP: FieldSchema = optional(
    "seccompProfile",
    Schema::Map(&[
        required("type", Schema::Text).does("which filter of system calls: RuntimeDefault, Unconfined or Localhost"),
        optional("localhostProfile", Schema::Text).does("a file below /var/lib/kubelet/seccomp"),
    ]),
);
const APPARMOR: FieldSchema = optional(
    "appArmorProfile",
    Schema::Map(&[
        required("type", Schema::Text).does("which AppArmor profile: RuntimeDefault, Unconfined or Localhost"),
        optional("localhostProfile", Schema::Text).does("a profile that the kernel has loaded"),
    ]),
);
const SELINUX: FieldSchema = optional(
    "seLinuxOptions",
    Schema::Map(&[
        optional("user", Schema::Text).does("the user of the SELinux label"),
        optional("role", Schema::Text).does("the role of the SELinux label"),
        optional("type", Schema::Text).does("the type of the SELinux label"),
        optional("level", Schema::Text).does("the level of the SELinux label"),
    ]),
);

/// Of a pod.
pub(super) const POD_SECURITY: Schema = Schema::Map(&[
    RUN_AS_USER,
    RUN_AS_GROUP,
    RUN_AS_NON_ROOT,
    optional("fsGroup", Schema::Integer).does("a group of each container, and that of files in volumes"),
    optional("fsGroupChangePolicy", Schema::Text).does("whether files that have the group already are walked through"),
    optional("supplementalGroups", Schema::List(&Schema::Integer)).does("further groups of each container"),
    optional("supplementalGroupsPolicy", Schema::Text).does("Strict: without the groups of the image's /etc/group"),
    SECCOMP,
    APPARMOR,
    SELINUX,
    optional("seLinuxChangePolicy", Schema::Text).with(Effect::Idle("files are not relabelled")),
    optional(
        "sysctls",
        Schema::List(&Schema::Map(&[
            required("name", Schema::Text).does("a kernel parameter of the pod's namespaces"),
            required("value", Schema::Text).does("its value"),
        ])),
    ),
    WINDOWS,
]);

/// Of a container.
pub(super) const CONTAINER_SECURITY: Schema = Schema::Map(&[
    RUN_AS_USER,
    RUN_AS_GROUP,
    RUN_AS_NON_ROOT,
    SECCOMP,
    APPARMOR,
    SELINUX,
    optional("privileged", Schema::Flag).does("true: may do what the node's root may"),
    optional("allowPrivilegeEscalation", Schema::Flag).does("false: no program gives more rights (no_new_privs)"),
    optional("readOnlyRootFilesystem", Schema::Flag).does("true: the image's files can't be changed"),
    optional("procMount", Schema::Text).does("Unmasked: all of /proc is seen"),
    optional(
        "capabilities",
        Schema::Map(&[
            optional("add", Schema::List(&Schema::Text)).does("capabilities beside the runtime's default ones"),
            optional("drop", Schema::List(&Schema::Text)).does("capabilities that it does not have"),
        ]),
    ),
    refused("cgroupOptions", "how cgroups are mounted is the runtime's choice, and CRI has no word for it"),
    WINDOWS,
]);
