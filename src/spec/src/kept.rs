//! A configuration that was made: kept as JSON, and edited when its container starts.

use std::collections::HashMap;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxSeccomp, Spec};

use crate::container::{ContainerMount, ContainerSpec};
use crate::devices::{is_node, is_rule};
use crate::error::SpecError;
use crate::exec::ExecTemplate;
use crate::inputs::{HostDevice, NodeFacts, StartInputs};
use crate::json::spec_json;
use crate::note::Note;
use crate::{mounts, namespaces, process, resources};

/// crun's name for it (crun(1), "run.oci.seccomp_bpf_data").
const SECCOMP_PROGRAM: &str = "run.oci.seccomp_bpf_data";

/// What is in a container's `config.json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub(crate) spec: Spec,
}

impl Config {
    pub(crate) fn of(spec: Spec) -> Self {
        Self { spec }
    }

    /// Reads what [`Config::json`] gave, of this release or another one.
    ///
    /// # Errors
    /// It is no configuration.
    pub fn parse(json: &[u8]) -> Result<Self, SpecError> {
        let spec: Spec = serde_json::from_slice(json)?;
        if spec.process().is_some() { Ok(Self { spec }) } else { Err(SpecError::NoProcess) }
    }

    /// Content of `config.json`; the same for the same configuration.
    ///
    /// # Errors
    /// Never with one made by [`crate::oci_config`].
    pub fn json(&self) -> Result<Vec<u8>, SpecError> {
        spec_json(&self.spec)
    }

    /// Says what follows from the moment of the start: namespaces, the limits that the container has now, volumes of
    /// its image. All else stays as it was when the container was made. Each edit replaces those of an earlier start.
    ///
    /// # Errors
    /// A path that JSON can't carry.
    pub fn set_for_start(
        &mut self,
        container: &ContainerSpec,
        node: &NodeFacts,
        start: &StartInputs<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<(), SpecError> {
        let linux = self.spec.linux_mut().get_or_insert_default();
        linux.set_namespaces(Some(namespaces::namespaces(container, node, start.namespaces)));
        let mut limits = resources::limits(&container.resources, node, notes);
        limits.set_devices(linux.resources_mut().take().and_then(|resources| resources.devices().clone()));
        linux.set_resources(Some(limits));
        if let Some(process) = self.spec.process_mut() {
            process.set_oom_score_adj(Some(process::oom_score_adj(&container.resources, node, notes)));
        }
        mounts::set_volumes(self.spec.mounts_mut().get_or_insert_default(), container, start.volumes)?;
        // Annotations of the client stay out: to the runtimes some of them are settings ("run.oci.…").
        let settings = start.annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.spec.set_annotations(Some(settings.collect()).filter(|settings: &HashMap<_, _>| !settings.is_empty()));
        Ok(())
    }

    /// Hands the runtime the container's system call filter as a ready program, in base64. crun then does not compile
    /// the profile, which stays in the configuration; other runtimes compile it as ever.
    pub fn set_seccomp_program(&mut self, program: &str) {
        let settings = self.spec.annotations_mut().get_or_insert_default();
        settings.insert(SECCOMP_PROGRAM.to_owned(), program.to_owned());
    }

    /// All of it, as the OCI runtime specification has it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The container's system call filter.
    pub fn seccomp(&self) -> Option<&LinuxSeccomp> {
        self.spec.linux().as_ref()?.seccomp().as_ref()
    }

    /// Name of the container's AppArmor profile.
    pub fn apparmor_profile(&self) -> Option<&str> {
        self.spec.process().as_ref()?.apparmor_profile().as_deref()
    }

    /// The SELinux label of files that the container makes, and of volumes that are to have its label.
    pub fn mount_label(&self) -> Option<&str> {
        self.spec.linux().as_ref()?.mount_label().as_deref()
    }

    /// Whether the container has a file system of control groups of its own that it may write.
    pub fn has_writable_cgroups(&self) -> bool {
        let mut mounts = self.spec.mounts().iter().flatten();
        mounts.any(|mount| {
            let is_writable = mount.options().iter().flatten().any(|option| option == "rw");
            mount.destination() == Path::new(mounts::CGROUPS) && mount.typ().as_deref() == Some("cgroup") && is_writable
        })
    }

    /// The OOM score of the container's processes.
    pub fn oom_score_adj(&self) -> Option<i32> {
        self.spec.process().as_ref()?.oom_score_adj()
    }

    /// The sources of the client's mounts that are paths of the node, each with the mount's place in the client's list.
    pub fn sources<'a>(&'a self, mounts: &[ContainerMount]) -> Vec<(usize, &'a Path)> {
        let of_node = mounts.iter().enumerate().filter(|(_, mount)| mount.host_path().is_some());
        let places: HashMap<_, _> = of_node.map(|(index, mount)| (mount.container_path.as_path(), index)).collect();
        // Where the client mounts something there is nothing else.
        let all = self.spec.mounts().iter().flatten();
        all.filter_map(|mount| Some((*places.get(mount.destination().as_path())?, mount.source().as_deref()?)))
            .collect()
    }

    /// Whether the container gets this device, with this number, under this name.
    pub fn has_device(&self, device: &HostDevice) -> bool {
        let Some(linux) = self.spec.linux() else { return false };
        let nodes = linux.devices().as_deref().unwrap_or_default();
        if let Some(node) = nodes.iter().find(|node: &&LinuxDevice| *node.path() == device.container_path) {
            return is_node(node, device);
        }
        // What it has anyway, or below a mount of the client, is only allowed.
        let rules = linux.resources().as_ref().and_then(|resources| resources.devices().as_deref()).unwrap_or_default();
        rules.iter().any(|rule: &LinuxDeviceCgroup| is_rule(rule, device))
    }

    /// What further processes of the container have in common with its first one.
    ///
    /// # Errors
    /// The configuration has no process.
    pub fn exec_template(&self) -> Result<ExecTemplate, SpecError> {
        self.spec.process().as_ref().map(ExecTemplate::of).ok_or(SpecError::NoProcess)
    }
}
