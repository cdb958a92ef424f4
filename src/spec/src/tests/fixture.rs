//! A plain pod and container on a plain node; each test changes what it is about.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::container::{
    ContainerMetadata, ContainerMount, ContainerSecurity, ContainerSpec, EnvVar, ImageSource, MountSource, Propagation,
    Resources,
};
use crate::pod::{Namespaces, PodBandwidth, PodMetadata, PodSecurity, PodSpec};
use crate::{
    Arch, Categories, Configured, DeviceInputs, Edits, HostDevice, ImageDefaults, ImageInputs, ImageVolume, Inputs,
    NamespacePaths, NodeDefaults, NodeFacts, PidNamespace, PodFiles, Profiles, ResolvedMount, SourcePropagation,
    SpecError, StartInputs, Ulimits, oci_config,
};

/// Owner of everything that [`Inputs`] borrows.
pub(crate) struct Case {
    pub(crate) pod: PodSpec,
    pub(crate) container: ContainerSpec,
    pub(crate) image: ImageDefaults,
    pub(crate) passwd: Option<&'static str>,
    pub(crate) group: Option<&'static str>,
    pub(crate) node: NodeFacts,
    pub(crate) files: PodFiles,
    pub(crate) namespaces: NamespacePaths,
    pub(crate) mounts: Vec<ResolvedMount>,
    pub(crate) volumes: Vec<ImageVolume>,
    pub(crate) devices: Vec<HostDevice>,
    pub(crate) edits: Edits,
    pub(crate) rootfs: PathBuf,
    pub(crate) cgroups_path: String,
    pub(crate) localhost_seccomp: Option<&'static [u8]>,
    pub(crate) apparmor: Option<Vec<String>>,
    pub(crate) ulimits: Ulimits,
    pub(crate) writable_cgroups: bool,
    pub(crate) categories: Option<Categories>,
}

pub(crate) const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nalice:x:1000:1000:Alice,,,:/home/alice:/bin/sh\n";
pub(crate) const GROUP: &str =
    "root:x:0:\nwheel:x:10:root,alice\nalice:x:1000:\nlate:x:50000:alice\nother:x:60000:bob\n";

impl Case {
    pub(crate) fn new() -> Self {
        Self {
            pod: pod(),
            container: container(),
            image: ImageDefaults {
                user: String::new(),
                entrypoint: words("/server"),
                cmd: words("--port 80"),
                env: words("PATH=/usr/bin:/bin MODE=image"),
                working_dir: "srv".to_owned(),
                volumes: Vec::new(),
            },
            passwd: Some(PASSWD),
            group: Some(GROUP),
            node: node(),
            files: PodFiles {
                hostname: Some("/run/peapod/pods/p1/hostname".into()),
                hosts: Some("/run/peapod/pods/p1/hosts".into()),
                resolv_conf: Some("/run/peapod/pods/p1/resolv.conf".into()),
                shm: Some("/run/peapod/pods/p1/shm".into()),
            },
            namespaces: NamespacePaths {
                network: Some("/var/run/netns/p1".into()),
                ipc: Some("/proc/42/fd/7".into()),
                uts: Some("/proc/42/fd/8".into()),
                user: None,
                pid: PidNamespace::Path("/proc/43/ns/pid".into()),
            },
            mounts: Vec::new(),
            volumes: Vec::new(),
            devices: Vec::new(),
            edits: Edits::default(),
            rootfs: "rootfs".into(),
            cgroups_path: "/kubepods/podu1/c1".to_owned(),
            localhost_seccomp: None,
            apparmor: None,
            ulimits: Ulimits::default(),
            writable_cgroups: false,
            categories: None,
        }
    }

    pub(crate) fn config(&self) -> Result<Configured, SpecError> {
        oci_config(&Inputs {
            pod: &self.pod,
            container: &self.container,
            image: ImageInputs { defaults: &self.image, passwd: self.passwd, group: self.group },
            node: &self.node,
            files: &self.files,
            mounts: &self.mounts,
            devices: DeviceInputs { nodes: &self.devices, edits: &self.edits },
            rootfs: &self.rootfs,
            cgroups_path: &self.cgroups_path,
            profiles: Profiles {
                localhost_seccomp: self.localhost_seccomp,
                apparmor: self.apparmor.as_deref(),
                categories: self.categories,
            },
            defaults: NodeDefaults { ulimits: &self.ulimits, writable_cgroups: self.writable_cgroups },
            start: self.start(),
        })
    }

    pub(crate) fn start(&self) -> StartInputs<'_> {
        StartInputs { namespaces: &self.namespaces, volumes: &self.volumes, annotations: &[] }
    }

    /// The configuration as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.config().unwrap().config.json().unwrap()).unwrap()
    }

    /// A mount of `/data/<name>`, which lies on a shared mount.
    pub(crate) fn mount(&mut self, container_path: &str, propagation: Propagation) -> &mut ContainerMount {
        let name = container_path.trim_start_matches('/').replace('/', "-");
        self.mounts.push(ResolvedMount {
            source: format!("/data/{name}").into(),
            lacks: Vec::new(),
            propagation: SourcePropagation::Shared,
        });
        self.container.mounts.push(ContainerMount {
            container_path: container_path.into(),
            source: MountSource::Host(format!("/link/{name}").into()),
            readonly: false,
            recursive_read_only: false,
            selinux_relabel: false,
            propagation,
            options: Vec::new(),
            users: None,
        });
        self.container.mounts.last_mut().unwrap()
    }

    pub(crate) fn env(&mut self, key: &str, value: &[u8]) {
        self.container.envs.push(EnvVar { key: key.to_owned(), value: value.to_vec() });
    }
}

/// All of some image.
pub(crate) fn image_source() -> MountSource {
    MountSource::Image(ImageSource {
        reference: "model".to_owned(),
        user_specified_image: String::new(),
        annotations: BTreeMap::new(),
        sub_path: "/".into(),
    })
}

pub(crate) fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn pod() -> PodSpec {
    PodSpec {
        metadata: PodMetadata {
            name: "web".to_owned(),
            namespace: "default".to_owned(),
            uid: "u1".to_owned(),
            attempt: 0,
        },
        hostname: "web".to_owned(),
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

fn container() -> ContainerSpec {
    ContainerSpec {
        metadata: ContainerMetadata { name: "server".to_owned(), attempt: 0 },
        image: "server:1".to_owned(),
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

/// A node that can do everything, with cgroup v2.
pub(crate) fn node() -> NodeFacts {
    NodeFacts {
        hostname: "node1".to_owned(),
        arch: Arch::Amd64,
        cgroup_v2: true,
        capabilities: u64::MAX,
        oom_score_adj: -999,
        may_lower_oom: true,
        hard_limits: Vec::new(),
        hugepage_sizes: words("2MB 1GB"),
        swap_accounting: true,
        selinux: None,
    }
}
