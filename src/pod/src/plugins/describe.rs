//! Pods and containers as plugins see them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Hook, Spec};
use peapod_nri::api;
use peapod_spec::Config;
use peapod_spec::container::{ContainerSpec, SeccompProfile};
use peapod_spec::pod::PodSpec;

use super::limits;
use crate::id::{ContainerId, PodId};
use crate::view::{ContainerState, ContainerView, PodView};

/// What there is of a pod.
pub(crate) struct PodFacts<'a> {
    pub(crate) id: &'a PodId,
    pub(crate) spec: &'a PodSpec,
    pub(crate) ips: &'a [IpAddr],
    pub(crate) shim_pid: u32,
    pub(crate) namespaces: &'a [(&'static str, PathBuf)],
    pub(crate) cgroup_parent: &'a str,
}

impl<'a> From<&'a PodView> for PodFacts<'a> {
    fn from(view: &'a PodView) -> Self {
        Self {
            id: &view.id,
            spec: &view.spec,
            ips: &view.ips,
            shim_pid: view.shim_pid,
            namespaces: &view.namespaces,
            cgroup_parent: &view.cgroup_parent,
        }
    }
}

/// A pod.
pub(crate) fn pod(facts: &PodFacts<'_>) -> api::PodSandbox {
    let PodFacts { id, spec, ips, shim_pid, namespaces, cgroup_parent } = facts;
    let namespace = |(kind, path): &(&'static str, PathBuf)| api::LinuxNamespace {
        type_: (*kind).to_owned(),
        path: path.to_string_lossy().into_owned(),
        ..api::LinuxNamespace::default()
    };
    let linux = api::LinuxPodSandbox {
        pod_overhead: spec.overhead.as_ref().map(limits::message).into(),
        pod_resources: spec.resources.as_ref().map(limits::message).into(),
        cgroup_parent: (*cgroup_parent).to_owned(),
        namespaces: namespaces.iter().map(namespace).collect(),
        ..api::LinuxPodSandbox::default()
    };
    api::PodSandbox {
        id: id.to_string(),
        name: spec.metadata.name.clone(),
        uid: spec.metadata.uid.clone(),
        namespace: spec.metadata.namespace.clone(),
        labels: spec.labels.clone().into_iter().collect(),
        annotations: spec.annotations.clone().into_iter().collect(),
        runtime_handler: spec.runtime_handler.clone(),
        linux: Some(linux).into(),
        pid: *shim_pid,
        ips: ips.iter().map(ToString::to_string).collect(),
        ..api::PodSandbox::default()
    }
}

/// A container that is being made.
pub(crate) fn new(pod: &PodId, id: &ContainerId, spec: &ContainerSpec, config: &Config) -> api::Container {
    let mut container = of_spec(pod, id, spec);
    add_config(&mut container, config.spec());
    container
}

/// A container that there is, with its configuration if that can be read. Blocks, for a file of the run root.
pub(crate) fn shown(view: &ContainerView) -> api::Container {
    let mut container = of_spec(&view.pod, &view.id, &view.spec);
    if let Ok(json) = crate::read::whole(&view.bundle.join("config.json"), crate::bounds::CONFIG_BYTES)
        && let Ok(config) = Config::parse(&json)
    {
        add_config(&mut container, config.spec());
    }
    container.created_at = view.created_at;
    container.image = Some(api::Image {
        name: view.image_name.clone(),
        digest: view.image_ref.rsplit_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default(),
        config_digest: view.image_id.clone(),
        ..api::Image::default()
    })
    .into();
    match &view.state {
        ContainerState::Created => {}
        ContainerState::Running { pid, started_at } => {
            container.state = api::ContainerState::CONTAINER_RUNNING.into();
            (container.pid, container.started_at) = (*pid, *started_at);
        }
        ContainerState::Exited { started_at, finished_at, exit_code, reason, message } => {
            container.state = api::ContainerState::CONTAINER_STOPPED.into();
            (container.started_at, container.finished_at) = (*started_at, *finished_at);
            container.exit_code = *exit_code;
            container.status_reason.clone_from(reason);
            container.status_message.clone_from(message);
        }
    }
    container
}

fn of_spec(pod: &PodId, id: &ContainerId, spec: &ContainerSpec) -> api::Container {
    let (kind, localhost_ref) = match &spec.security.seccomp {
        Some(SeccompProfile::RuntimeDefault) => (api::security_profile::ProfileType::RUNTIME_DEFAULT, String::new()),
        Some(SeccompProfile::Localhost(path)) => {
            (api::security_profile::ProfileType::LOCALHOST, path.to_string_lossy().into_owned())
        }
        Some(SeccompProfile::Unconfined) | None => (api::security_profile::ProfileType::UNCONFINED, String::new()),
    };
    let profile = api::SecurityProfile { profile_type: kind.into(), localhost_ref, ..api::SecurityProfile::default() };
    let score = api::OptionalInt { value: spec.resources.oom_score_adj, ..api::OptionalInt::default() };
    let linux = api::LinuxContainer {
        resources: Some(limits::message(&spec.resources)).into(),
        oom_score_adj: Some(score).into(),
        seccomp_profile: Some(profile).into(),
        ..api::LinuxContainer::default()
    };
    let device = |name: &String| api::CDIDevice { name: name.clone(), ..api::CDIDevice::default() };
    api::Container {
        id: id.to_string(),
        pod_sandbox_id: pod.to_string(),
        name: spec.metadata.name.clone(),
        state: api::ContainerState::CONTAINER_CREATED.into(),
        labels: spec.labels.clone().into_iter().collect(),
        annotations: spec.annotations.clone().into_iter().collect(),
        linux: Some(linux).into(),
        cdi_devices: spec.cdi_devices.iter().map(device).collect(),
        ..api::Container::default()
    }
}

/// What is in a configuration.
fn add_config(container: &mut api::Container, spec: &Spec) {
    if let Some(process) = spec.process() {
        container.args = process.args().clone().unwrap_or_default();
        container.env = process.env().clone().unwrap_or_default();
        container.rlimits = process.rlimits().iter().flatten().map(rlimit).collect();
        let user = process.user();
        container.user = Some(api::User {
            uid: user.uid(),
            gid: user.gid(),
            additional_gids: user.additional_gids().clone().unwrap_or_default(),
            ..api::User::default()
        })
        .into();
    }
    container.mounts = spec.mounts().iter().flatten().map(mount).collect();
    container.hooks = spec.hooks().as_ref().map(hooks).into();
    let Some(linux) = spec.linux() else { return };
    let of = container.linux.mut_or_insert_default();
    of.cgroups_path = text(linux.cgroups_path().as_deref());
    of.sysctl = linux.sysctl().clone().unwrap_or_default();
    of.namespaces = linux
        .namespaces()
        .iter()
        .flatten()
        .map(|namespace| api::LinuxNamespace {
            type_: namespace.typ().to_string(),
            path: text(namespace.path().as_deref()),
            ..api::LinuxNamespace::default()
        })
        .collect();
    of.devices = linux
        .devices()
        .iter()
        .flatten()
        .map(|device| api::LinuxDevice {
            path: text(Some(device.path())),
            type_: device.typ().as_str().to_owned(),
            major: device.major(),
            minor: device.minor(),
            file_mode: device
                .file_mode()
                .map(|value| api::OptionalFileMode { value, ..api::OptionalFileMode::default() })
                .into(),
            uid: device.uid().map(|value| api::OptionalUInt32 { value, ..api::OptionalUInt32::default() }).into(),
            gid: device.gid().map(|value| api::OptionalUInt32 { value, ..api::OptionalUInt32::default() }).into(),
            ..api::LinuxDevice::default()
        })
        .collect();
    for (on_node, device) in linux.net_devices().iter().flatten() {
        let name = device.name().clone().unwrap_or_default();
        of.net_devices.insert(on_node.clone(), api::LinuxNetDevice { name, ..api::LinuxNetDevice::default() });
    }
}

fn text(path: Option<&Path>) -> String {
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

fn rlimit(limit: &oci_spec::runtime::PosixRlimit) -> api::POSIXRlimit {
    let kind = serde_json::to_value(limit.typ()).ok();
    let type_ = kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    api::POSIXRlimit { type_, hard: limit.hard(), soft: limit.soft(), ..api::POSIXRlimit::default() }
}

fn mount(mount: &oci_spec::runtime::Mount) -> api::Mount {
    api::Mount {
        destination: text(Some(mount.destination())),
        type_: mount.typ().clone().unwrap_or_default(),
        source: text(mount.source().as_deref()),
        options: mount.options().clone().unwrap_or_default(),
        ..api::Mount::default()
    }
}

fn hooks(hooks: &oci_spec::runtime::Hooks) -> api::Hooks {
    let all = |list: &Option<Vec<Hook>>| list.iter().flatten().map(hook).collect();
    api::Hooks {
        prestart: all(hooks.prestart()),
        create_runtime: all(hooks.create_runtime()),
        create_container: all(hooks.create_container()),
        start_container: all(hooks.start_container()),
        poststart: all(hooks.poststart()),
        poststop: all(hooks.poststop()),
        ..api::Hooks::default()
    }
}

fn hook(hook: &Hook) -> api::Hook {
    api::Hook {
        path: text(Some(hook.path())),
        args: hook.args().clone().unwrap_or_default(),
        env: hook.env().clone().unwrap_or_default(),
        timeout: hook.timeout().map(|value| api::OptionalInt { value, ..api::OptionalInt::default() }).into(),
        ..api::Hook::default()
    }
}
