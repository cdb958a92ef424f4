//! The life of a container as its manifest wishes it: probes, hooks, restarts, signal and last words.

use std::time::Duration;

use k8s_openapi::api::core::v1 as k8s;
use peapod_api::v1::Signal;

use super::builder::Builder;
use super::probe::{HandlerBuilder, HttpGet, Probe, ProbeKind};
use super::restart::{RestartAction, RestartPolicy, RestartRule};

/// Rules of a container, as many as Kubernetes takes.
const RULES: usize = 20;

/// Exit codes of a rule, as many as Kubernetes takes.
const CODES: usize = 255;

/// What a container is to live by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    pub(crate) startup: Option<Probe>,
    pub(crate) readiness: Option<Probe>,
    pub(crate) liveness: Option<Probe>,
    pub(crate) post_start: Option<LifecycleHook>,
    pub(crate) pre_stop: Option<LifecycleHook>,
    /// In place of what the image says.
    pub(crate) stop_signal: Signal,
    /// In place of the pod's own. An init container with `Always` is a sidecar.
    pub(crate) restart: Option<RestartPolicy>,
    /// The first that fits decides.
    pub(crate) rules: Vec<RestartRule>,
    pub(crate) termination: TerminationMessage,
}

/// What is done after a container's start, or before its stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LifecycleHook {
    Exec(Vec<String>),
    HttpGet(HttpGet),
    Sleep(Duration),
}

/// Where a container leaves its last words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TerminationMessage {
    /// The file in the container.
    pub(crate) path: String,
    /// After a failure without them the end of the log is taken.
    pub(crate) or_log: bool,
}

/// Init containers end by themselves: only sidecars among them are probed, and have hooks.
pub(super) fn check_init<'a>(builder: &mut Builder<'_>, lives: impl Iterator<Item = &'a Lifecycle>) {
    for (index, life) in lives.enumerate() {
        if life.restart == Some(RestartPolicy::Always) {
            continue;
        }
        for (field, is_there) in [
            ("startupProbe", life.startup.is_some()),
            ("readinessProbe", life.readiness.is_some()),
            ("livenessProbe", life.liveness.is_some()),
            ("lifecycle.postStart", life.post_start.is_some()),
            ("lifecycle.preStop", life.pre_stop.is_some()),
        ] {
            if is_there {
                let path = format!("spec.initContainers[{index}].{field}");
                builder.add_mistake(&path, "is for init containers with restartPolicy Always alone");
            }
        }
    }
}

/// What a container is to live by.
pub(super) fn lifecycle(builder: &mut Builder<'_>, path: &str, given: &k8s::Container) -> Lifecycle {
    let ports = given.ports.as_deref().unwrap_or_default();
    LifecycleBuilder { asks: HandlerBuilder { builder, ports } }.lifecycle(path, given)
}

/// Builds it with the container's ports at hand.
struct LifecycleBuilder<'b, 'd> {
    asks: HandlerBuilder<'b, 'd>,
}

impl LifecycleBuilder<'_, '_> {
    fn lifecycle(&mut self, path: &str, given: &k8s::Container) -> Lifecycle {
        let mut probe =
            |name, kind, probe: &Option<k8s::Probe>| self.asks.probe(&format!("{path}.{name}"), kind, probe.as_ref());
        let startup = probe("startupProbe", ProbeKind::Startup, &given.startup_probe);
        let readiness = probe("readinessProbe", ProbeKind::Readiness, &given.readiness_probe);
        let liveness = probe("livenessProbe", ProbeKind::Liveness, &given.liveness_probe);
        let hooks = given.lifecycle.clone().unwrap_or_default();
        let signal = self.stop_signal(&format!("{path}.lifecycle.stopSignal"), hooks.stop_signal.as_deref());
        let policies = [
            ("Always", Some(RestartPolicy::Always)),
            ("OnFailure", Some(RestartPolicy::OnFailure)),
            ("Never", Some(RestartPolicy::Never)),
        ];
        let restart = given.restart_policy.as_deref();
        let fallbacks = [("File", false), ("FallbackToLogsOnError", true)];
        let policy = given.termination_message_policy.as_deref();
        let file = given.termination_message_path.as_deref().filter(|text| !text.is_empty());
        if let Some(text) = file.filter(|text| !text.starts_with('/')) {
            let text = format!("is `{text}`; it has to be absolute");
            self.asks.builder.add_mistake(&format!("{path}.terminationMessagePath"), text);
        }
        Lifecycle {
            startup,
            readiness,
            liveness,
            post_start: self.hook(&format!("{path}.lifecycle.postStart"), hooks.post_start),
            pre_stop: self.hook(&format!("{path}.lifecycle.preStop"), hooks.pre_stop),
            stop_signal: signal,
            restart: self.asks.builder.one_of(&format!("{path}.restartPolicy"), restart, None, &policies),
            rules: self.rules(path, given),
            termination: TerminationMessage {
                path: file.unwrap_or("/dev/termination-log").to_owned(),
                or_log: self.asks.builder.one_of(
                    &format!("{path}.terminationMessagePolicy"),
                    policy,
                    false,
                    &fallbacks,
                ),
            },
        }
    }

    fn hook(&mut self, path: &str, given: Option<k8s::LifecycleHandler>) -> Option<LifecycleHook> {
        let given = given?;
        if given.tcp_socket.is_some() {
            let text = "is no hook that a kubelet carries out: there it always fails. Use exec, httpGet or sleep";
            self.asks.builder.add_mistake(&format!("{path}.tcpSocket"), text);
            return None;
        }
        match (given.exec, given.http_get, given.sleep) {
            (Some(exec), None, None) => Some(LifecycleHook::Exec(self.asks.command(path, &exec))),
            (None, Some(http), None) => Some(LifecycleHook::HttpGet(self.asks.http_get(path, &http)?)),
            (None, None, Some(sleep)) => {
                let seconds = u32::try_from(sleep.seconds).unwrap_or_else(|_| {
                    let text = format!("is {}; it has to be 0 or more", sleep.seconds);
                    self.asks.builder.add_mistake(&format!("{path}.sleep.seconds"), text);
                    0
                });
                Some(LifecycleHook::Sleep(Duration::from_secs(seconds.into())))
            }
            (None, None, None) => {
                self.asks.builder.add_mistake(path, "does nothing: it needs one of exec, httpGet and sleep");
                None
            }
            _ => {
                self.asks.builder.add_mistake(path, "does several things: it can have one of exec, httpGet and sleep");
                None
            }
        }
    }

    fn stop_signal(&mut self, path: &str, given: Option<&str>) -> Signal {
        let Some(name) = given.filter(|name| !name.is_empty()) else { return Signal::RuntimeDefault };
        // Kubernetes writes SIGRTMIN+3, and CRI SIGRTMINPLUS3.
        let word = name.replace('+', "PLUS").replace('-', "MINUS");
        Signal::from_str_name(&format!("SIGNAL_{word}")).unwrap_or_else(|| {
            self.asks.builder.add_mistake(
                path,
                format!("is `{name}`; it has to be a signal of Linux, such as SIGTERM or SIGRTMIN+3"),
            );
            Signal::RuntimeDefault
        })
    }

    fn rules(&mut self, path: &str, given: &k8s::Container) -> Vec<RestartRule> {
        let rules = given.restart_policy_rules.as_deref().unwrap_or_default();
        let list = format!("{path}.restartPolicyRules");
        if !rules.is_empty() && given.restart_policy.as_deref().unwrap_or_default().is_empty() {
            self.asks.builder.add_mistake(&list, "needs a restartPolicy beside it, for exits that no rule is for");
        }
        if rules.len() > RULES {
            self.asks.builder.add_mistake(&list, format!("has {} rules; it can have {RULES}", rules.len()));
        }
        let mut built = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("{list}[{index}]");
            let actions =
                [("Restart", RestartAction::Restart), ("RestartAllContainers", RestartAction::RestartAllContainers)];
            let action = self.asks.builder.one_of(
                &format!("{path}.action"),
                Some(&rule.action),
                RestartAction::Restart,
                &actions,
            );
            let Some(codes) = &rule.exit_codes else {
                self.asks.builder.add_mistake(&format!("{path}.exitCodes"), "is missing");
                continue;
            };
            let operators = [("In", true), ("NotIn", false)];
            let operator = format!("{path}.exitCodes.operator");
            let is_for_codes = self.asks.builder.one_of(&operator, Some(&codes.operator), true, &operators);
            let codes = codes.values.clone().unwrap_or_default();
            if codes.is_empty() || codes.len() > CODES {
                let text = format!("has {} codes; it can have 1 to {CODES}", codes.len());
                self.asks.builder.add_mistake(&format!("{path}.exitCodes.values"), text);
            }
            built.push(RestartRule { action, codes, is_for_codes });
        }
        built
    }
}
