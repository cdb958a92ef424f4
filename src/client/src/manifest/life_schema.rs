//! The fields of a container's life: probes, hooks, and what follows its end.

use super::effect::{Schema, optional, required};

/// A probe.
pub(super) const PROBE: Schema = Schema::Map(&[
    optional("exec", EXEC),
    optional("httpGet", HTTP_GET),
    optional("tcpSocket", TCP_SOCKET),
    optional(
        "grpc",
        Schema::Map(&[
            required("port", Schema::Integer).does("whose health service is asked"),
            optional("service", Schema::Text).does("about what it is asked"),
        ]),
    ),
    optional("initialDelaySeconds", Schema::Integer).does("the time between the start and the first try"),
    optional("periodSeconds", Schema::Integer).does("the time from one try to the next"),
    optional("timeoutSeconds", Schema::Integer).does("the time within which a try has to succeed"),
    optional("successThreshold", Schema::Integer).does("so many successes in a row count"),
    optional("failureThreshold", Schema::Integer).does("so many failures in a row count"),
    optional("terminationGracePeriodSeconds", Schema::Integer).does("in place of the pod's own, for who fails it"),
]);

/// Hooks and the signal of a container.
pub(super) const LIFECYCLE: Schema = Schema::Map(&[
    optional("postStart", HOOK),
    optional("preStop", HOOK),
    optional("stopSignal", Schema::Text).does("in place of the image's own signal"),
]);

const HOOK: Schema = Schema::Map(&[
    optional("exec", EXEC),
    optional("httpGet", HTTP_GET),
    optional("tcpSocket", TCP_SOCKET),
    optional("sleep", Schema::Map(&[required("seconds", Schema::Integer).does("the time that is waited")])),
]);

const EXEC: Schema = Schema::Map(&[required("command", Schema::List(&Schema::Text)).does("is run in the container")]);

const HTTP_GET: Schema = Schema::Map(&[
    required("port", Schema::Port).does("the port that is asked"),
    optional("host", Schema::Text).does("who is asked, in place of the pod"),
    optional("path", Schema::Text).does("what is asked for"),
    optional("scheme", Schema::Text).does("HTTP or HTTPS"),
    optional("httpHeaders", Schema::List(&HTTP_HEADER)),
]);

const HTTP_HEADER: Schema = Schema::Map(&[
    required("name", Schema::Text).does("a header of the request"),
    required("value", Schema::Text).does("its value"),
]);

const TCP_SOCKET: Schema = Schema::Map(&[
    required("port", Schema::Port).does("the port to which a connection is made"),
    optional("host", Schema::Text).does("whose port it is, in place of the pod's"),
]);

/// What follows certain exit codes.
pub(super) const RESTART_RULE: Schema = Schema::Map(&[
    required("action", Schema::Text).does("who is started again"),
    required(
        "exitCodes",
        Schema::Map(&[
            required("operator", Schema::Text).does("whether it is for these exit codes, or for all others"),
            required("values", Schema::List(&Schema::Integer)).does("exit codes"),
        ]),
    ),
]);
