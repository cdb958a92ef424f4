//! The fields of a Pod, with what each of them does here. What is in no table is refused.

use super::effect::{Effect, FieldSchema, Schema, optional, refused, required};
use super::env_schema::{ENV, ENV_FROM};
use super::life_schema::{LIFECYCLE, PROBE, RESTART_RULE};
use super::object_schema::METADATA;
use super::security_schema::{CONTAINER_SECURITY, POD_SECURITY};
use super::volume_schema::{VOLUME, VOLUME_MOUNT};

/// Fields that a scheduler reads, and nobody else.
const SCHEDULER: Effect = Effect::Idle("only a scheduler reads it, and there is one node");
/// Fields that speak of an API server.
pub(super) const SERVER: Effect = Effect::Idle("it is about an API server, and there is none");

/// A Pod as it stands in a manifest.
pub(super) const POD: Schema = Schema::Map(&[
    required("apiVersion", Schema::Text).does("the version of the format"),
    required("kind", Schema::Text).does("what the document is"),
    required("metadata", METADATA),
    required("spec", SPEC),
    optional("status", Schema::Any).with(SERVER),
]);

/// What a pod is made of.
pub(super) const SPEC: Schema = Schema::Map(&[
    optional("initContainers", Schema::List(&CONTAINER)),
    required("containers", Schema::List(&CONTAINER)),
    optional("volumes", Schema::List(&VOLUME)),
    optional("restartPolicy", Schema::Text).does("which ends of containers are followed by a new start"),
    optional("terminationGracePeriodSeconds", Schema::Integer).does("the time between being asked to end and the kill"),
    optional("activeDeadlineSeconds", Schema::Integer).does("the time after which the pod is ended, and has failed"),
    optional("shareProcessNamespace", Schema::Flag).does("containers see each other's processes"),
    optional("hostNetwork", Schema::Flag).does("the pod is in the node's network"),
    optional("hostPID", Schema::Flag).does("containers see the node's processes"),
    optional("hostIPC", Schema::Flag).does("containers share the node's System V IPC"),
    optional("hostUsers", Schema::Flag).does("false: a user namespace of the pod's own, if the runtime has them"),
    optional("hostname", Schema::Text).does("the pod's host name"),
    optional("hostnameOverride", Schema::Text).does("the pod's host name, whatever else is said"),
    optional("subdomain", Schema::Text).does("the domain in /etc/hosts"),
    optional("setHostnameAsFQDN", Schema::Flag).does("the host name has the domain with it"),
    optional("hostAliases", Schema::List(&HOST_ALIAS)),
    optional("dnsPolicy", Schema::Text).does("whose resolv.conf: the node's, or with None that of dnsConfig alone"),
    optional("dnsConfig", DNS_CONFIG),
    optional("securityContext", POD_SECURITY),
    optional("resources", POD_RESOURCES),
    optional(
        "imagePullSecrets",
        Schema::List(&Schema::Map(&[
            required("name", Schema::Text).does("credentials for pulls, of a Secret of these files")
        ])),
    ),
    optional("runtimeClassName", Schema::Text).does("the runtime handler of that name"),
    optional("serviceAccountName", Schema::Text).does("what fieldRef tells; there is no token"),
    optional("serviceAccount", Schema::Text).does("the same as serviceAccountName"),
    optional("nodeName", Schema::Text).does("what fieldRef tells as spec.nodeName; there is one node"),
    optional("automountServiceAccountToken", Schema::Flag).with(Effect::Idle("no token is ever mounted")),
    optional("enableServiceLinks", Schema::Flag).with(Effect::Idle("there are no Services")),
    optional("os", Schema::Map(&[required("name", Schema::Text).does("has to be linux")])),
    optional("affinity", Schema::Any).with(SCHEDULER),
    optional("nodeSelector", Schema::Texts).with(SCHEDULER),
    optional("tolerations", Schema::Any).with(SCHEDULER),
    optional("topologySpreadConstraints", Schema::Any).with(SCHEDULER),
    optional("priority", Schema::Integer).with(SCHEDULER),
    optional("priorityClassName", Schema::Text).with(SCHEDULER),
    optional("preemptionPolicy", Schema::Text).with(SCHEDULER),
    optional("schedulerName", Schema::Text).with(SCHEDULER),
    optional("schedulingGates", Schema::Any).with(SCHEDULER),
    optional("schedulingGroup", Schema::Any).with(SCHEDULER),
    optional("evictionResponders", Schema::Any).with(SERVER),
    optional(
        "overhead",
        Schema::Map(&[
            optional("cpu", Schema::Quantity).does("what the pod itself takes beside its containers, for the runtime"),
            optional("memory", Schema::Quantity).does("the same of memory"),
            EPHEMERAL_STORAGE,
        ]),
    ),
    optional("readinessGates", Schema::Any).with(SERVER),
    refused("ephemeralContainers", "they are added to pods that run: use `peapod exec`"),
    refused("resourceClaims", "devices that are claimed need a driver and an API server"),
]);

/// A container, and an init container.
const CONTAINER: Schema = Schema::Map(&[
    required("name", Schema::Text).does("the container's name"),
    required("image", Schema::Text).does("the image that it runs"),
    optional("imagePullPolicy", Schema::Text).does("when the image is pulled"),
    optional("command", Schema::List(&Schema::Text)).does("in place of the image's entrypoint"),
    optional("args", Schema::List(&Schema::Text)).does("in place of the image's arguments"),
    optional("workingDir", Schema::Text).does("where the command starts"),
    optional("env", Schema::List(&ENV)),
    optional("envFrom", Schema::List(&ENV_FROM)),
    optional("ports", Schema::List(&PORT)),
    optional("volumeMounts", Schema::List(&VOLUME_MOUNT)),
    optional("resources", RESOURCES),
    optional("securityContext", CONTAINER_SECURITY),
    optional("stdin", Schema::Flag).does("has an input, for `peapod attach -i`"),
    optional("stdinOnce", Schema::Flag).does("the input ends with the first client that attaches"),
    optional("tty", Schema::Flag).does("runs in a terminal"),
    optional("startupProbe", PROBE),
    optional("readinessProbe", PROBE),
    optional("livenessProbe", PROBE),
    optional("lifecycle", LIFECYCLE),
    optional("restartPolicy", Schema::Text).does("in place of the pod's; Always makes an init container a sidecar"),
    optional("restartPolicyRules", Schema::List(&RESTART_RULE)),
    optional("terminationMessagePath", Schema::Text).does("a file to write why it ends into"),
    optional("terminationMessagePolicy", Schema::Text).does("whether the end of the log stands in for that"),
    optional("resizePolicy", Schema::Any).with(Effect::Idle("limits don't change while a pod runs")),
    refused("volumeDevices", "a block device needs a PersistentVolume: mount it as a file system, or use hostPath"),
]);

const PORT: Schema = Schema::Map(&[
    required("containerPort", Schema::Integer).does("a port of the pod"),
    optional("name", Schema::Text).does("a name for the port"),
    optional("hostPort", Schema::Integer).does("the port of the node that leads to it"),
    optional("hostIP", Schema::Text).does("the node's address for that"),
    optional("protocol", Schema::Text).does("TCP, UDP or SCTP"),
]);

const RESOURCES: Schema = Schema::Map(&[
    optional(
        "limits",
        Schema::Map(&[
            optional("cpu", Schema::Quantity).does("is held back beyond this share of processors"),
            optional("memory", Schema::Quantity).does("is killed beyond this"),
            optional("hugepages-*", Schema::Quantity).does("so many huge pages"),
            EPHEMERAL_STORAGE,
            EXTENDED,
            refused("pids", "the processes of a pod are limited as a whole: set spec.resources.limits.pids"),
        ]),
    ),
    REQUESTS,
    CLAIMS,
]);

/// Of all containers together where the runtime makes the pod a cgroup of its own, which a run says if it does not.
const POD_RESOURCES: Schema = Schema::Map(&[
    optional(
        "limits",
        Schema::Map(&[
            optional("cpu", Schema::Quantity).does("its containers are held back beyond this, all together"),
            optional("memory", Schema::Quantity).does("one of its containers is killed beyond this, all together"),
            optional("hugepages-*", Schema::Quantity).does("so many huge pages, all together"),
            optional("pids", Schema::Quantity).does("so many processes and threads, all together"),
            EPHEMERAL_STORAGE,
            EXTENDED,
        ]),
    ),
    REQUESTS,
    CLAIMS,
]);

const REQUESTS: FieldSchema = optional(
    "requests",
    Schema::Map(&[
        optional("cpu", Schema::Quantity).does("the weight against others when processors are busy"),
        optional("memory", Schema::Quantity).does("who uses more goes first when memory is short"),
        optional("hugepages-*", Schema::Quantity).does("the same as its limit"),
        EPHEMERAL_STORAGE,
        EXTENDED,
    ]),
);
const CLAIMS: FieldSchema = refused("claims", "devices that are claimed need a driver and an API server");

const EPHEMERAL_STORAGE: FieldSchema = optional("ephemeral-storage", Schema::Quantity)
    .with(Effect::Idle("nobody watches what a container writes to disk"));
const EXTENDED: FieldSchema = refused("*/*", "such resources come from a device plugin, and there is none");

const HOST_ALIAS: Schema = Schema::Map(&[
    required("ip", Schema::Text).does("an address in /etc/hosts"),
    optional("hostnames", Schema::List(&Schema::Text)).does("its names"),
]);

const DNS_CONFIG: Schema = Schema::Map(&[
    optional("nameservers", Schema::List(&Schema::Text)).does("nameserver lines of resolv.conf"),
    optional("searches", Schema::List(&Schema::Text)).does("the search line of resolv.conf"),
    optional(
        "options",
        Schema::List(&Schema::Map(&[
            optional("name", Schema::Text).does("an option of resolv.conf"),
            optional("value", Schema::Text).does("its value"),
        ])),
    ),
]);
