//! How a pod comes to be.
//!
//! A chain of types, each holding what exists by then, each able to undo exactly that:
//!
//! ```text
//! BegunSandbox (folder, its own cgroup if it has one) ─▶ Equipped (shim runs, network attached, at the same time)
//!                       ─▶ ReadySandbox (namespaces, mounts, pod init, files)
//! ```
//!
//! A pod with users of its own has its namespaces made before it is attached to the network: they belong to the users'.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peapod_network::{AttachError, Attachment};
use peapod_spec::pod::{PidMode, PodSpec, Scope};
use peapod_spec::{Categories, UserIds, UserNamespace};
use peapod_sys::fail_point;
use peapod_trace::Span;

use super::SandboxOperations;
use super::files::{self, Contents};
use crate::config::OciRuntime;
use crate::error::Error;
use crate::id::PodId;
use crate::namespaces::PodNamespaces;
use crate::shim::{Launched, OwnNamespaces, SandboxSetup, Shim, ShimError, Tmpfs};
use crate::stages;

/// A pod that is ready.
#[derive(Debug)]
pub(crate) struct ReadySandbox {
    pub(crate) shim: Shim,
    pub(crate) shim_pid: u32,
    pub(crate) namespaces: PodNamespaces,
    pub(crate) attached: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) netns: Option<PathBuf>,
}

/// A pod that is to be made.
#[derive(Clone, Copy)]
pub(crate) struct SandboxInput<'a> {
    pub(crate) id: &'a PodId,
    pub(crate) spec: &'a PodSpec,
    /// Where its shim will listen.
    pub(crate) socket: &'a Path,
    /// The path of its own cgroup, if it is to have one.
    pub(crate) group: Option<&'a str>,
    /// Of SELinux.
    pub(crate) categories: Option<Categories>,
    /// The OCI runtime of the pod's handler.
    pub(crate) runtime: &'a OciRuntime,
}

impl SandboxOperations {
    /// Makes a pod; after an error nothing of it is left.
    pub(crate) async fn set_up(&self, pod: SandboxInput<'_>, span: &Span) -> Result<ReadySandbox, Error> {
        let begun = BegunSandbox::begin(self, pod, span).await?;
        fail_point("pod-folder");
        let equipped = begun.equip().await?;
        fail_point("pod-equipped");
        let ready = equipped.finish().await?;
        fail_point("pod-isolated");
        Ok(ready)
    }
}

/// Who pod init runs as. Without a user it is nobody, who owns nothing.
pub(crate) fn init_user(spec: &PodSpec) -> UserIds {
    const NOBODY: u32 = 65534;
    // Of users of its own the last one may come before.
    let most = spec.namespaces.users.map(|users| users.uids.count().min(users.gids.count()) - 1);
    let uid = spec.security.run_as_user.unwrap_or(most.map_or(NOBODY, |most| NOBODY.min(most)));
    let gid = spec.security.run_as_group.unwrap_or(uid);
    UserIds { uid, gid, groups: spec.security.supplemental_groups.clone() }
}

/// A pod's folder, into which nobody else gets but root of the pod, if it has users of its own: on the way to its
/// containers' root file systems.
fn make_folder(dir: &Path, users: Option<UserNamespace>) -> io::Result<()> {
    const OWN: u32 = 0o700;
    const OF_GROUP: u32 = 0o710;
    DirBuilder::new().recursive(true).mode(OWN).create(dir)?;
    if let Some((_, gid)) = users.map(UserNamespace::root) {
        std::os::unix::fs::chown(dir, None, Some(gid))?;
        std::fs::set_permissions(dir, Permissions::from_mode(OF_GROUP))?;
    }
    std::fs::create_dir_all(dir.join("containers"))
}

/// The pod has a folder, and its own cgroup if it is to have one.
struct BegunSandbox<'a> {
    sandboxes: &'a SandboxOperations,
    pod: SandboxInput<'a>,
    dir: PathBuf,
    span: &'a Span,
}

/// Its shim runs and it is in its network.
struct Equipped<'a> {
    begun: BegunSandbox<'a>,
    launched: Launched,
    attachment: Option<Arc<Attachment>>,
}

impl<'a> BegunSandbox<'a> {
    async fn begin(sandboxes: &'a SandboxOperations, pod: SandboxInput<'a>, span: &'a Span) -> Result<Self, Error> {
        let begun = Self { sandboxes, pod, dir: sandboxes.layout.pod_dir(pod.id), span };
        match begun.make().await {
            Ok(()) => Ok(begun),
            Err(failure) => {
                begun.undo().await;
                Err(failure)
            }
        }
    }

    async fn make(&self) -> Result<(), Error> {
        // On a tmpfs: quick enough for this thread.
        let made = make_folder(&self.dir, self.pod.spec.namespaces.users);
        made.map_err(|error| Error::failed(format!("make {}", self.dir.display()), &error))?;
        let Some(group) = self.pod.group else { return Ok(()) };
        let limits = self.pod.spec.resources.clone().unwrap_or_default();
        self.sandboxes.make_group(group, &limits).await?;
        fail_point("pod-group");
        Ok(())
    }

    async fn equip(self) -> Result<Equipped<'a>, Error> {
        if let Some(users) = self.pod.spec.namespaces.users {
            return self.equip_with_users(users).await;
        }
        self.span.leave();
        let (launching, attaching) = (self.span.begin(&stages::SHIM), self.span.begin(&stages::NETWORK));
        let network = Span::clone(&attaching);
        let launch = async { launching.end(self.launch().await) };
        let attach = async { attaching.end(self.attach(None, network).await) };
        // The network first: what that waits for is somebody else's work from its first moment on.
        let (attached, launched) = tokio::join!(attach, launch);
        match (launched, attached) {
            (Ok(launched), Ok(attachment)) => Ok(Equipped { begun: self, launched, attachment }),
            (Ok(launched), Err(error)) => {
                let undo = self.span.begin(&stages::UNDO);
                Equipped { begun: self, launched, attachment: None }.undo(&undo).await;
                Err(error)
            }
            (Err(failure), attached) => {
                let undo = self.span.begin(&stages::UNDO);
                if matches!(attached, Ok(Some(_))) {
                    self.detach(&undo).await;
                }
                self.undo_launch().await;
                Err(failure)
            }
        }
    }

    /// One after the other: the shim makes a user namespace, and inside it the one that is attached to the network.
    async fn equip_with_users(self, users: UserNamespace) -> Result<Equipped<'a>, Error> {
        self.span.enter(&stages::SHIM);
        let launched = match self.launch().await {
            Ok(launched) => launched,
            Err(failure) => {
                self.span.fail();
                self.span.enter(&stages::UNDO);
                self.undo_launch().await;
                return Err(failure);
            }
        };
        match self.attach_users(&launched.shim, users).await {
            Ok(attachment) => Ok(Equipped { begun: self, launched, attachment }),
            Err(failure) => {
                self.span.fail();
                self.span.leave();
                let undo = self.span.begin(&stages::UNDO);
                Equipped { begun: self, launched, attachment: None }.undo(&undo).await;
                Err(failure)
            }
        }
    }

    async fn attach_users(&self, shim: &Shim, users: UserNamespace) -> Result<Option<Arc<Attachment>>, Error> {
        let SandboxInput { id, spec, .. } = self.pod;
        self.span.enter(&stages::NAMESPACES);
        let network = spec.namespaces.network == Scope::Pod;
        let own = OwnNamespaces { network, uts: network, ipc: spec.namespaces.ipc == Scope::Pod };
        let made = shim.make_namespaces(id.as_str(), users, own).await;
        let made = made.map_err(|error| error.into_error("make the pod's user namespace"))?;
        fail_point("pod-users");
        self.span.leave();
        let attaching = self.span.begin(&stages::NETWORK);
        let span = Span::clone(&attaching);
        attaching.end(self.attach(made.network, span).await)
    }

    /// A shim that could not be started may have been born before that failed.
    async fn undo_launch(self) {
        self.sandboxes.end_shim(self.pod.id, None).await;
        self.undo().await;
    }

    async fn launch(&self) -> Result<Launched, Error> {
        let SandboxInput { id, socket, runtime, .. } = self.pod;
        let launched = self.sandboxes.launcher.launch(id.as_str(), &self.dir, &runtime.path, socket).await;
        launched.map_err(|error| Error::failed(format!("start {}", self.sandboxes.shim.display()), &error))
    }

    /// Host ports of a pod in the node's network are the processes' own business.
    async fn attach(&self, namespace: Option<PathBuf>, span: Span) -> Result<Option<Arc<Attachment>>, Error> {
        if self.pod.spec.namespaces.network == Scope::Node {
            return Ok(None);
        }
        let request = super::network::request(self.pod.id, self.pod.spec, namespace, span);
        let attachment = self.sandboxes.network.attach(request).await;
        attachment.map(Some).map_err(|error| match error {
            AttachError::InvalidPort { .. } | AttachError::NoFamily { .. } | AttachError::TooManyPorts { .. } => {
                Error::Invalid { field: "config.port_mappings".to_owned(), reason: error.to_string() }
            }
            error => Error::failed("attach the pod to its network", &error),
        })
    }

    async fn detach(&self, span: &Span) {
        if let Err(error) = self.sandboxes.network.detach_in(self.pod.id.as_str(), span).await {
            tracing::warn!(%error, "the network of a pod that could not be made is not given back yet");
        }
    }

    async fn undo(self) {
        let (dir, socket) = (self.dir, self.pod.socket.to_path_buf());
        let removed = tokio::task::spawn_blocking(move || {
            let _ = std::fs::remove_file(&socket);
            peapod_sys::remove_tree(&dir)
        })
        .await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "the folder of a pod that could not be made is left; the next start removes it");
        }
        if let Some(group) = self.pod.group
            && let Err(error) = self.sandboxes.remove_group(group).await
        {
            tracing::warn!(%error, "the cgroup of a pod that could not be made is left; the next look removes it");
        }
    }
}

impl Equipped<'_> {
    async fn finish(self) -> Result<ReadySandbox, Error> {
        match self.isolate().await {
            Ok(namespaces) => {
                let (ips, netns) = self.attachment.as_deref().map(|a| (a.ips.clone(), a.netns.clone())).unzip();
                Ok(ReadySandbox {
                    shim: self.launched.shim,
                    shim_pid: self.launched.pid,
                    namespaces,
                    attached: self.attachment.is_some(),
                    ips: ips.unwrap_or_default(),
                    netns,
                })
            }
            Err(error) => {
                let span = self.begun.span;
                span.fail();
                span.leave();
                self.undo(&span.begin(&stages::UNDO)).await;
                Err(error)
            }
        }
    }

    async fn isolate(&self) -> Result<PodNamespaces, Error> {
        let BegunSandbox { sandboxes, pod: SandboxInput { id, spec, categories, .. }, dir, span } = &self.begun;
        span.enter(&stages::NAMESPACES);
        let own_network = spec.namespaces.network == Scope::Pod;
        let hostname =
            if own_network && !spec.hostname.is_empty() { &spec.hostname } else { &sandboxes.facts.hostname };
        let ips = self.attachment.as_deref().map(|a| a.ips.as_slice()).unwrap_or_default();
        let contexts = sandboxes.facts.selinux.as_ref();
        let label = contexts.map(|contexts| contexts.of_pod_files(spec, *categories)).transpose();
        let label = label.map_err(|error| Error::Invalid {
            field: "config.linux.security_context.selinux_options".to_owned(),
            reason: error.to_string(),
        })?;
        let label = label.flatten().map(|label| label.to_string());
        let setup = SandboxSetup {
            bundle: dir.clone(),
            netns: self.attachment.as_deref().map(|a| a.netns.clone()),
            hostname: if own_network { spec.hostname.clone() } else { String::new() },
            new_uts: own_network,
            new_ipc: spec.namespaces.ipc == Scope::Pod,
            init: spec.namespaces.pid == PidMode::Pod,
            user: init_user(spec),
            sysctls: spec.sysctls.clone().into_iter().collect(),
            files: Tmpfs { label, ..files::mount(dir, spec) },
        };
        let shim = &self.launched.shim;
        let created = shim.create_sandbox(id.as_str(), setup).await;
        let namespaces = created.map_err(|error| match error {
            // The one thing that the kernel knows better than whoever checked it.
            ShimError::Invalid(reason) => Error::Invalid { field: "config.linux.sysctls".to_owned(), reason },
            error => error.into_error("make the pod's namespaces"),
        })?;
        let (dir, contents) = (dir.clone(), Contents::of(spec, hostname, ips));
        span.enter(&stages::FILES);
        let written = tokio::task::spawn_blocking(move || contents.write(&dir)).await;
        let step = "write the pod's files";
        written.map_err(|panic| Error::failed(step, &panic))?.map_err(|error| Error::failed(step, &error))?;
        fail_point("pod-files");
        Ok(namespaces)
    }

    async fn undo(self, span: &Span) {
        let Self { begun, launched, attachment } = self;
        begun.sandboxes.end_shim(begun.pod.id, Some(launched.shim)).await;
        if attachment.is_some() {
            begun.detach(span).await;
        }
        begun.undo().await;
    }
}
