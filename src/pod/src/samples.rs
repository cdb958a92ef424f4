//! Pods and containers for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use peapod_spec::container::{ContainerMetadata, ContainerSecurity, ContainerSpec, Resources};
use peapod_spec::pod::{Namespaces, PodBandwidth, PodMetadata, PodSecurity, PodSpec};

use crate::config::{Grouping, HandlerOrigin, OciRuntime};

/// A pod with a name, and as little else as there can be.
pub(crate) fn pod_spec(name: &str) -> PodSpec {
    let text = |text: &str| text.to_owned();
    PodSpec {
        metadata: PodMetadata { name: text(name), uid: text("uid"), namespace: text("default"), attempt: 0 },
        hostname: String::new(),
        log_directory: None,
        dns: None,
        port_mappings: Vec::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        bandwidth: PodBandwidth::default(),
        runtime_handler: String::new(),
        cgroup_parent: None,
        sysctls: BTreeMap::new(),
        namespaces: Namespaces::default(),
        security: PodSecurity::default(),
        overhead: None,
        resources: None,
    }
}

/// The same of a container.
pub(crate) fn container_spec(name: &str, attempt: u32) -> ContainerSpec {
    ContainerSpec {
        metadata: ContainerMetadata { name: name.to_owned(), attempt },
        image: "image".to_owned(),
        user_specified_image: String::new(),
        image_annotations: BTreeMap::new(),
        command: Vec::new(),
        args: Vec::new(),
        working_dir: String::new(),
        envs: Vec::new(),
        mounts: Vec::new(),
        devices: Vec::new(),
        cdi_devices: Vec::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        log_path: None,
        stdin: false,
        stdin_once: false,
        tty: false,
        stop_signal: None,
        resources: Resources::default(),
        security: ContainerSecurity::default(),
    }
}

/// An OCI runtime that the configuration names.
pub(crate) fn runtime(path: PathBuf, root: PathBuf) -> OciRuntime {
    OciRuntime {
        path,
        root,
        origin: HandlerOrigin::Configured,
        grouping: Grouping::Namespaces,
        cgroup_writable: false,
        arguments: Vec::new(),
    }
}

/// That script as a program named `runtime`, a file of its own.
pub(crate) fn program(dir: &Path, script: &str) -> PathBuf {
    let path = dir.join("runtime");
    // Another process writes it: a child that another test forks meanwhile would keep it open for writing, and it
    // could not be run.
    let write = r#"printf %s "$1" >"$2.new" && chmod 755 "$2.new" && mv "$2.new" "$2""#;
    assert!(Command::new("sh").args(["-c", write, "sh", script]).arg(&path).status().unwrap().success());
    path
}
