//! Containers whose OCI runtime keeps a pod's together in one sandbox of its own, which a container without an image
//! begins: gVisor. That one is called as the pod is, and its bundle lies beside the others'. The shim makes it before
//! the first of them, and ends it with the pod.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use peapod_cgroup::CgroupDriver;
use peapod_shim_protocol::ROOT_CONTAINERS_SINCE;
use peapod_spec::{NamespacePaths, RootContainerInputs, in_sandbox_of, root_container};
use peapod_text::excerpt;

use super::{ContainerContext, kept};
use crate::config::{Grouping, OciRuntime};
use crate::error::Error;
use crate::id::ContainerId;
use crate::idle_program::idle_program;
use crate::shim::{Shim, TaskRuntime};

/// The root container's program, the only file that it has.
const PROGRAM: &str = "pause";

/// What makes a container of the pod.
pub(super) fn task_runtime(context: &ContainerContext, runtime: &OciRuntime) -> TaskRuntime {
    TaskRuntime {
        path: runtime.path.clone(),
        root: runtime.root.clone(),
        systemd_cgroup: context.cgroup.driver == CgroupDriver::Systemd,
        arguments: runtime.arguments.clone(),
        root_container: (runtime.grouping == Grouping::RootContainer).then(|| context.pod_id.to_string()),
    }
}

/// What a container's configuration says of the sandbox in which it is.
pub(super) fn settings(context: &ContainerContext) -> Vec<(String, String)> {
    match context.handler.runtime() {
        Ok(runtime) if runtime.grouping == Grouping::RootContainer => in_sandbox_of(context.pod_id.as_str()).into(),
        _ => Vec::new(),
    }
}

/// Refuses a shim that would make no sandbox.
pub(super) async fn check_shim(context: &ContainerContext, runtime: &OciRuntime, shim: &Shim) -> Result<(), Error> {
    if runtime.grouping != Grouping::RootContainer && runtime.arguments.is_empty() {
        return Ok(());
    }
    let hello = shim.hello().await;
    let hello = hello.map_err(|error| error.into_error("ask the pod's shim whether it can drive the OCI runtime"))?;
    if hello.protocol >= ROOT_CONTAINERS_SINCE {
        return Ok(());
    }
    Err(Error::Precondition {
        what: "pod sandbox",
        id: context.pod_id.to_string(),
        state: format!("of peapod {}, whose shim begins no sandbox of an OCI runtime", excerpt(&hello.version)),
        need: "made by this one: run another sandbox for the container",
    })
}

/// Lays out the root container of a pod that is to have one, unless it is there: whoever comes first does it.
pub(super) fn lay_out_root(
    context: &ContainerContext,
    id: &ContainerId,
    runtime: &OciRuntime,
    namespaces: &NamespacePaths,
) -> Result<(), Error> {
    if runtime.grouping != Grouping::RootContainer {
        return Ok(());
    }
    let dir = context.containers.layout.pod_dir(&context.pod_id);
    let bundle = dir.join("containers").join(context.pod_id.as_str());
    let failed = |error: io::Error| Error::failed(format!("lay out {}", bundle.display()), &error);
    if bundle.try_exists().map_err(failed)? {
        return Ok(());
    }
    let cgroup = &context.cgroup;
    let path = cgroup.driver.group(&cgroup.parent, &cgroup.scope_prefix, context.pod_id.as_str());
    let config = root_container(&RootContainerInputs {
        program: &format!("/{PROGRAM}"),
        hostname: &context.pod.hostname,
        cgroups_path: &cgroup.driver.runtime_path(&path),
        namespaces,
        settings: &[],
    });
    // Complete before it has its name: containers may start at the same time. What a crash leaves goes with the pod.
    let new = dir.join(format!("root-{id}"));
    let laid_out = write_program(&new).map_err(failed).and_then(|()| kept::write(&new, &config));
    let named = laid_out.and_then(|()| match std::fs::rename(&new, &bundle) {
        Err(error) if !bundle.exists() => Err(failed(error)),
        _ => Ok(()),
    });
    named.and(peapod_sys::remove_tree(&new).map_err(|error| failed(error.into())))
}

/// How gVisor of 2022 says that it takes a network namespace for the node's, by a file that only that one had then.
const NODES_NETWORK: &str = "cannot run with network enabled in root network namespace";

/// The same error with the way out, where there is one that the runtime does not tell.
pub(super) fn explain(failure: Error) -> Error {
    match failure {
        Error::Runtime(text) if text.contains(NODES_NETWORK) => Error::Runtime(format!(
            "{text} (a release of before 2023 takes every network namespace of today's kernels for that: use a newer \
             one, or set runtimes.handlers.NAME.arguments = [\"--network=host\"], with which it uses the kernel's \
             network in the pod's namespace)"
        )),
        other => other,
    }
}

/// The bundle's root file system.
fn write_program(bundle: &Path) -> io::Result<()> {
    let program = idle_program().ok_or_else(|| io::Error::other("there is no program for this kind of processor"))?;
    let rootfs = bundle.join("rootfs");
    let path = rootfs.join(PROGRAM);
    std::fs::create_dir_all(&rootfs)?;
    std::fs::set_permissions(&rootfs, Permissions::from_mode(0o755))?;
    std::fs::write(&path, program)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o755))
}
