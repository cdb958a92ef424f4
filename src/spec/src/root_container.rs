//! The container that begins a sandbox of the OCI runtime, for runtimes that keep a pod's containers in one: gVisor. It
//! runs a program that does nothing, and is told from the others by annotations of Kubernetes, which such runtimes
//! read.

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType, Process, Root, Spec, User};

use crate::config::OCI_VERSION;
use crate::inputs::{NamespacePaths, PidNamespace};
use crate::kept::Config;
use crate::namespaces::namespace;

/// Says which of the two a container is.
const KIND: &str = "io.kubernetes.cri.container-type";
/// Says in which sandbox a container is: by the id of the one that begins it.
const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";

/// What a root container has of its pod.
#[derive(Clone, Copy, Debug)]
pub struct RootContainerInputs<'a> {
    /// Its program, in its root file system.
    pub program: &'a str,
    /// The pod's name in its own network.
    pub hostname: &'a str,
    /// Its cgroup, as the OCI runtime takes it: all of the pod's processes are in there.
    pub cgroups_path: &'a str,
    /// As the pod's containers have them.
    pub namespaces: &'a NamespacePaths,
    /// Settings of the OCI runtime that have no field of their own.
    pub settings: &'a [(String, String)],
}

/// The configuration of a root container, whose root file system is `rootfs` in its bundle.
#[must_use]
pub fn root_container(inputs: &RootContainerInputs<'_>) -> Config {
    let (mut root, mut process, mut linux) = (Root::default(), Process::default(), Linux::default());
    root.set_path("rootfs".into()).set_readonly(Some(true));
    process
        .set_user(User::default())
        .set_args(Some(vec![inputs.program.to_owned()]))
        .set_env(None)
        .set_cwd("/".into())
        .set_capabilities(None)
        .set_rlimits(None)
        .set_no_new_privileges(Some(true));
    linux
        .set_namespaces(Some(namespaces(inputs.namespaces)))
        .set_cgroups_path(Some(inputs.cgroups_path.into()))
        .set_devices(None)
        .set_masked_paths(None)
        .set_readonly_paths(None);
    let mut annotations: HashMap<_, _> = inputs.settings.iter().cloned().collect();
    annotations.insert(KIND.to_owned(), "sandbox".to_owned());
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_root(Some(root))
        .set_mounts(None)
        .set_process(Some(process))
        .set_hostname(Some(inputs.hostname.to_owned()).filter(|name| !name.is_empty()))
        .set_linux(Some(linux))
        .set_annotations(Some(annotations));
    Config::of(spec)
}

/// What a container of the pod says of the sandbox that the container with that id begins.
#[must_use]
pub fn in_sandbox_of(root: &str) -> [(String, String); 2] {
    [(KIND, "container"), (SANDBOX, root)].map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn namespaces(paths: &NamespacePaths) -> Vec<LinuxNamespace> {
    let pid = match &paths.pid {
        PidNamespace::Path(path) => Some(path),
        // It has nobody to share them with.
        PidNamespace::New | PidNamespace::NotYet | PidNamespace::Host => None,
    };
    let kinds: [(_, Option<&PathBuf>); 5] = [
        (LinuxNamespaceType::Mount, None),
        (LinuxNamespaceType::Pid, pid),
        (LinuxNamespaceType::Network, paths.network.as_ref()),
        (LinuxNamespaceType::Ipc, paths.ipc.as_ref()),
        (LinuxNamespaceType::Uts, paths.uts.as_ref()),
    ];
    kinds.into_iter().map(|(kind, path)| namespace(kind, path)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_root_container_has_what_its_pod_has_and_does_nothing() {
        let paths = NamespacePaths {
            network: Some("/n".into()),
            ipc: Some("/i".into()),
            uts: None,
            user: None,
            pid: PidNamespace::Path("/p".into()),
        };
        let inputs = RootContainerInputs {
            program: "/pause",
            hostname: "web",
            cgroups_path: "/pods/a",
            namespaces: &paths,
            settings: &[("of.systemd".to_owned(), "1".to_owned())],
        };
        let json: Value = serde_json::from_slice(&root_container(&inputs).json().unwrap()).unwrap();
        let wanted = json!({
            "ociVersion": "1.0.2",
            "hostname": "web",
            "root": { "path": "rootfs", "readonly": true },
            "process": {
                "user": { "uid": 0, "gid": 0 }, "args": ["/pause"], "cwd": "/", "noNewPrivileges": true,
            },
            "linux": {
                "cgroupsPath": "/pods/a",
                "resources": { "devices": [] },
                "namespaces": [
                    { "type": "mount" }, { "type": "pid", "path": "/p" }, { "type": "network", "path": "/n" },
                    { "type": "ipc", "path": "/i" }, { "type": "uts" },
                ],
            },
            "annotations": { KIND: "sandbox", "of.systemd": "1" },
        });
        let mut given = json.clone();
        given["process"].as_object_mut().unwrap().remove("terminal");
        assert_eq!(given, wanted, "{json:#}");
        let nameless = root_container(&RootContainerInputs { hostname: "", ..inputs });
        assert_eq!(nameless.spec().hostname().as_deref(), None);
    }

    #[test]
    fn a_container_names_its_sandbox() {
        assert_eq!(
            in_sandbox_of("a"),
            [(KIND.to_owned(), "container".to_owned()), (SANDBOX.to_owned(), "a".to_owned())]
        );
    }
}
