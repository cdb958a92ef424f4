//! What a container is asked by: probes, and the requests that probes and hooks make.

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::builder::Builder;

/// What a container is asked for, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) handler: ProbeHandler,
    pub(crate) initial_delay: Duration,
    /// From one to the next.
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    /// How many of a kind in a row count.
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
    /// In place of the pod's own, for a container that fails it.
    pub(crate) grace_seconds: Option<u32>,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeHandler {
    Exec(Vec<String>),
    HttpGet(HttpGet),
    /// Whether somebody listens; without a host the pod is asked.
    TcpSocket {
        host: Option<String>,
        port: u16,
    },
    /// The health service of gRPC.
    Grpc {
        port: u16,
        service: String,
    },
}

/// A request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpGet {
    pub(crate) tls: bool,
    /// Without one the pod is asked.
    pub(crate) host: Option<String>,
    pub(crate) port: u16,
    /// Begins with `/`.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Which probe of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    Startup,
    Readiness,
    Liveness,
}

impl std::fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Startup => "startup probe",
            Self::Readiness => "readiness probe",
            Self::Liveness => "liveness probe",
        })
    }
}

/// Builds them with the container's ports at hand.
pub(super) struct HandlerBuilder<'b, 'd> {
    pub(super) builder: &'b mut Builder<'d>,
    pub(super) ports: &'b [k8s::ContainerPort],
}

impl HandlerBuilder<'_, '_> {
    pub(super) fn probe(&mut self, path: &str, kind: ProbeKind, given: Option<&k8s::Probe>) -> Option<Probe> {
        let given = given?;
        let handler = self.probe_handler(path, given);
        let mut number = |name: &str, value: Option<i32>, default: u32, least: u32| {
            // Kubernetes takes 0 for "not set".
            let Some(value) = value.filter(|value| *value != 0) else { return default };
            u32::try_from(value).unwrap_or_else(|_| {
                self.builder
                    .add_mistake(&format!("{path}.{name}"), format!("is {value}; it has to be {least} or more"));
                default
            })
        };
        let seconds = |number: u32| Duration::from_secs(number.into());
        let probe = Probe {
            handler: handler?,
            initial_delay: seconds(number("initialDelaySeconds", given.initial_delay_seconds, 0, 0)),
            period: seconds(number("periodSeconds", given.period_seconds, 10, 1)),
            timeout: seconds(number("timeoutSeconds", given.timeout_seconds, 1, 1)),
            success_threshold: number("successThreshold", given.success_threshold, 1, 1),
            failure_threshold: number("failureThreshold", given.failure_threshold, 3, 1),
            grace_seconds: self.probe_grace(path, kind, given.termination_grace_period_seconds),
        };
        if kind != ProbeKind::Readiness && probe.success_threshold != 1 {
            self.builder.add_mistake(&format!("{path}.successThreshold"), "has to be 1 but for readiness probes");
        }
        Some(probe)
    }

    fn probe_grace(&mut self, path: &str, kind: ProbeKind, given: Option<i64>) -> Option<u32> {
        let path = format!("{path}.terminationGracePeriodSeconds");
        let given = given?;
        if kind == ProbeKind::Readiness {
            self.builder.add_mistake(&path, "is for probes that end a container, which this one does not: remove it");
        }
        let grace = u32::try_from(given).ok().filter(|seconds| *seconds > 0);
        if grace.is_none() {
            self.builder.add_mistake(&path, format!("is {given}; it has to be 1 or more seconds"));
        }
        grace
    }

    fn probe_handler(&mut self, path: &str, given: &k8s::Probe) -> Option<ProbeHandler> {
        match (&given.exec, &given.http_get, &given.tcp_socket, &given.grpc) {
            (Some(exec), None, None, None) => Some(ProbeHandler::Exec(self.command(path, exec))),
            (None, Some(http), None, None) => Some(ProbeHandler::HttpGet(self.http_get(path, http)?)),
            (None, None, Some(tcp), None) => {
                let port = self.port_of(&format!("{path}.tcpSocket.port"), &tcp.port)?;
                Some(ProbeHandler::TcpSocket { host: tcp.host.clone().filter(|host| !host.is_empty()), port })
            }
            (None, None, None, Some(grpc)) => {
                let port = self.port_of(&format!("{path}.grpc.port"), &IntOrString::Int(grpc.port))?;
                Some(ProbeHandler::Grpc { port, service: grpc.service.clone().unwrap_or_default() })
            }
            (None, None, None, None) => {
                self.builder.add_mistake(path, "asks for nothing: it needs one of exec, httpGet, tcpSocket and grpc");
                None
            }
            _ => {
                self.builder
                    .add_mistake(path, "asks in several ways: it can have one of exec, httpGet, tcpSocket and grpc");
                None
            }
        }
    }

    /// What a probe or a hook runs in the container.
    pub(super) fn command(&mut self, path: &str, exec: &k8s::ExecAction) -> Vec<String> {
        let command = exec.command.clone().unwrap_or_default();
        if command.is_empty() {
            self.builder.add_mistake(&format!("{path}.exec.command"), "is missing");
        }
        command
    }

    /// What a probe or a hook asks for over HTTP.
    pub(super) fn http_get(&mut self, path: &str, given: &k8s::HTTPGetAction) -> Option<HttpGet> {
        let path = format!("{path}.httpGet");
        let schemes = [("HTTP", false), ("HTTPS", true)];
        let tls = self.builder.one_of(&format!("{path}.scheme"), given.scheme.as_deref(), false, &schemes);
        let mut headers = Vec::new();
        for (index, header) in given.http_headers.iter().flatten().enumerate() {
            let path = format!("{path}.httpHeaders[{index}]");
            if hyper::header::HeaderName::try_from(&header.name).is_err() {
                self.builder
                    .add_mistake(&format!("{path}.name"), format!("is `{}`; HTTP has no such names", header.name));
            }
            if hyper::header::HeaderValue::try_from(&header.value).is_err() {
                self.builder.add_mistake(&format!("{path}.value"), "can't be sent over HTTP");
            }
            headers.push((header.name.clone(), header.value.clone()));
        }
        let asked = given.path.as_deref().unwrap_or_default();
        let asked = if asked.starts_with('/') { asked.to_owned() } else { format!("/{asked}") };
        if hyper::http::uri::PathAndQuery::try_from(asked.as_str()).is_err() {
            self.builder
                .add_mistake(&format!("{path}.path"), format!("is `{asked}`, which can't be asked for over HTTP"));
        }
        let port = self.port_of(&format!("{path}.port"), &given.port)?;
        let host = given.host.clone().filter(|host| !host.is_empty());
        Some(HttpGet { tls, host, port, path: asked, headers })
    }

    fn port_of(&mut self, path: &str, given: &IntOrString) -> Option<u16> {
        let number = match given {
            IntOrString::Int(number) => *number,
            IntOrString::String(name) => match self.ports.iter().find(|port| port.name.as_ref() == Some(name)) {
                Some(port) => port.container_port,
                None => {
                    self.builder
                        .add_mistake(path, format!("is `{name}`, which is the name of none of the container's ports"));
                    return None;
                }
            },
        };
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() {
            self.builder.add_mistake(path, format!("is {number}; it has to be from 1 to 65535"));
        }
        port
    }
}
