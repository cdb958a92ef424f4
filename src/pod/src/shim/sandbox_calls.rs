//! Calls to a shim about the pod itself.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use peapod_shim_protocol::SANDBOX_OPTIONS_URL;
use peapod_shim_protocol::containerd::protobuf::MessageField;
use peapod_shim_protocol::containerd::sandbox_api;
use peapod_shim_protocol::containerd::ttrpc::context;
use peapod_shim_protocol::extension;
use peapod_spec::{IdRange, UserIds, UserNamespace};

use super::calls::{QUICK, SLOW, Shim, any, call, encode};
use super::task_options::{labelled, text};
use super::{ShimError, version};
use crate::namespaces::PodNamespaces;

/// A file system in memory, with all that it may take.
#[derive(Debug)]
pub(crate) struct Tmpfs {
    pub(crate) target: PathBuf,
    pub(crate) kib: u64,
    pub(crate) inodes: u64,
    /// The SELinux label of all that is in it.
    pub(crate) label: Option<String>,
}

/// What a shim makes of a pod: namespaces, mounts and pod init. The network namespace exists already.
#[derive(Debug)]
pub(crate) struct SandboxSetup {
    pub(crate) bundle: PathBuf,
    pub(crate) netns: Option<PathBuf>,
    pub(crate) hostname: String,
    pub(crate) new_uts: bool,
    pub(crate) new_ipc: bool,
    pub(crate) init: bool,
    pub(crate) user: UserIds,
    pub(crate) sysctls: HashMap<String, String>,
    pub(crate) files: Tmpfs,
}

/// Which namespaces a pod has of its own beside that of its users.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnNamespaces {
    pub(crate) network: bool,
    pub(crate) uts: bool,
    pub(crate) ipc: bool,
}

impl Shim {
    /// Makes a user namespace, and inside it these others, of a pod that is to be made; answers where those of users
    /// and network are.
    pub(crate) async fn make_namespaces(
        &self,
        id: &str,
        users: UserNamespace,
        own: OwnNamespaces,
    ) -> Result<PodNamespaces, ShimError> {
        let ids = |range: IdRange| {
            MessageField::some(extension::Ids { first: range.first(), count: range.count(), ..Default::default() })
        };
        let request = extension::MakeNamespacesRequest {
            sandbox_id: id.to_owned(),
            uids: ids(users.uids),
            gids: ids(users.gids),
            network: own.network,
            uts: own.uts,
            ipc: own.ipc,
            ..Default::default()
        };
        let answer = call!("MakeNamespaces", SLOW, self.inner.extension, make_namespaces, request)?;
        Ok(answer.namespaces.unwrap_or_default().into())
    }

    /// Makes the pod's namespaces, mounts and pod init; answers where the namespaces are.
    pub(crate) async fn create_sandbox(&self, id: &str, setup: SandboxSetup) -> Result<PodNamespaces, ShimError> {
        let Tmpfs { target, kib, inodes, label } = setup.files;
        let size = [format!("size={kib}k"), format!("nr_inodes={inodes}")];
        let files = extension::Mount {
            type_: "tmpfs".to_owned(),
            source: "pod".to_owned(),
            target: text(&target),
            options: ["nosuid", "nodev", "noexec", "mode=0755"]
                .map(str::to_owned)
                .into_iter()
                .chain(size)
                .chain(labelled(label))
                .collect(),
            ..Default::default()
        };
        let UserIds { uid, gid, groups } = setup.user;
        let options = extension::SandboxOptions {
            hostname: setup.hostname,
            new_uts: setup.new_uts,
            new_ipc: setup.new_ipc,
            init: setup.init,
            init_uid: uid,
            init_gid: gid,
            init_groups: groups,
            sysctls: setup.sysctls,
            mounts: vec![files],
            ..Default::default()
        };
        let netns_path = setup.netns.as_deref().map(text).unwrap_or_default();
        let request = extension::SetUpRequest {
            sandbox_id: id.to_owned(),
            netns_path,
            options: MessageField::some(options),
            ..Default::default()
        };
        let hello = match call!("SetUp", SLOW, self.inner.extension, set_up, request) {
            // A shim of protocol 1 or 2: the binary is older than this daemon.
            Err(ShimError::Unsupported(_)) => create_and_ask(self, request, &setup.bundle).await?,
            answer => answer?,
        };
        version::check(&hello).map_err(ShimError::Foreign)?;
        Ok(hello.namespaces.unwrap_or_default().into())
    }

    /// Kills all containers of the pod and pod init, and undoes the pod's mounts.
    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<(), ShimError> {
        let request = sandbox_api::StopSandboxRequest { sandbox_id: id.to_owned(), ..Default::default() };
        call!("StopSandbox", SLOW, self.inner.sandbox, stop_sandbox, request).map(drop)
    }

    /// Whether containers can be started in the pod: not any more once somebody began to stop it.
    pub(crate) async fn sandbox_is_ready(&self, id: &str) -> Result<bool, ShimError> {
        let request = sandbox_api::SandboxStatusRequest { sandbox_id: id.to_owned(), ..Default::default() };
        let status = call!("SandboxStatus", QUICK, self.inner.sandbox, sandbox_status, request)?;
        Ok(status.state == "SANDBOX_READY")
    }

    /// Ends the shim.
    pub(crate) async fn shutdown(&self, id: &str) -> Result<(), ShimError> {
        let request = sandbox_api::ShutdownSandboxRequest { sandbox_id: id.to_owned(), ..Default::default() };
        call!("ShutdownSandbox", QUICK, self.inner.sandbox, shutdown_sandbox, request).map(drop)
    }

    /// Starts pod init unless it runs, and tells the pod's namespaces.
    pub(crate) async fn ensure_init(&self, user: UserIds) -> Result<PodNamespaces, ShimError> {
        let UserIds { uid, gid, groups } = user;
        let request = extension::EnsureInitRequest { uid, gid, groups, ..Default::default() };
        let answer = call!("EnsureInit", SLOW, self.inner.extension, ensure_init, request)?;
        Ok(answer.namespaces.unwrap_or_default().into())
    }
}

async fn create_and_ask(
    shim: &Shim,
    request: extension::SetUpRequest,
    bundle: &Path,
) -> Result<extension::HelloResponse, ShimError> {
    let request = sandbox_api::CreateSandboxRequest {
        sandbox_id: request.sandbox_id,
        bundle_path: text(bundle),
        netns_path: request.netns_path,
        options: any(SANDBOX_OPTIONS_URL, encode(&request.options.unwrap_or_default())?),
        ..Default::default()
    };
    call!("CreateSandbox", SLOW, shim.inner.sandbox, create_sandbox, request)?;
    shim.hello().await
}
