//! Create: mounts, streams, `runtime create`. A failure undoes all of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use peapod_cgroup::Cgroup;
use tokio::sync::{Notify, watch};

use super::OciContainer;
use super::checkpoint::Checkpoints;
use super::delete::leftovers;
use super::exec::Execs;
use super::guest::{Guest, GuestName};
use super::host::Host;
use super::init_process::{InitProcess, Reach};
use super::mounts::{ContainerMounts, WantedMount};
use super::oom::Oom;
use super::state::OciContainerState;
use super::supervise::Supervised;
use super::updates::Updates;
use crate::error::Error;
use crate::runtime::{Binary, Child, CreateOptions, Runtime, RuntimeError, Target};
use crate::stdio::Uris;
use crate::stdio::console::ConsoleSocket;
use crate::stdio::plan::{Ours, Pumps};
use crate::{bundle, keys, log, proc};

/// EDQUOT in the words of OCI runtimes.
const NO_QUOTA: &str = "isk quota exceeded";

/// What the master asks for.
pub(crate) struct CreateRequest {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    /// Mounted over each other.
    pub(crate) rootfs: Vec<WantedMount>,
    /// Mounted beside it, by their names.
    pub(crate) volumes: Vec<(String, WantedMount)>,
    pub(crate) uris: Uris,
    pub(crate) runtime: Binary,
    /// The OOM score of its processes; `None`: the runtime takes care of it.
    pub(crate) oom_score_adj: Option<i32>,
    /// The path of its cgroup; `None`: what comes of it is known when it is there.
    pub(crate) cgroup: Option<String>,
    /// It may divide its cgroup further.
    pub(crate) delegation: Option<Delegation>,
    /// The folder of a checkpoint's files, of which it is made.
    pub(crate) checkpoint: Option<PathBuf>,
    /// The id of the container that begins the sandbox of the pod's containers, if the runtime needs one.
    pub(crate) root: Option<String>,
}

/// Into which group below a container's own its processes go, and whose the groups are.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    pub(crate) leaf: String,
    pub(crate) owner: (u32, u32),
}

/// What a runtime has made, before it is a container.
struct CreatedProcess {
    process: MadeProcess,
    ours: Ours,
    terminal: Option<std::os::fd::OwnedFd>,
}

enum MadeProcess {
    OfNode(Child),
    /// The number is its sandbox's; the streams are its own.
    Guest {
        sandbox: u32,
        streams: [Stdio; 3],
    },
}

/// Creates a container, in the sandbox that `root` has begun if there is one, and what its supervisor needs.
/// `interrupt` ends calls of the runtime for it, from now on.
pub(crate) async fn create(
    host: &Host,
    request: &CreateRequest,
    root: Option<&OciContainer>,
    interrupt: Arc<Notify>,
) -> Result<(OciContainer, Supervised), Error> {
    let began = Instant::now();
    let mounts = ContainerMounts::make(&request.bundle, &request.rootfs, &request.volumes, host.users.get())?;
    log::info("root file system mounted", &[("container", &request.id), ("us", &began.elapsed().as_micros())]);
    let runtime = Runtime::new(host.launcher.clone(), request.runtime.clone());
    let new_keyring = !keys::are_spent();
    let made = match make(host, &runtime, request, &interrupt, new_keyring).await {
        // Keys were used up meanwhile; the disk's quota would say so again.
        Err(Error::Runtime(RuntimeError::Failed { message, .. })) if new_keyring && message.contains(NO_QUOTA) => {
            clear(host, request).await;
            make(host, &runtime, request, &interrupt, false).await
        }
        made => made,
    };
    match made.and_then(|made| adopt(host, runtime, request, root, made, interrupt)) {
        Ok((mut container, supervised)) => {
            container.mounted = mounts.keep();
            Ok((container, supervised))
        }
        Err(error) => {
            clear(host, request).await;
            Err(error)
        }
    }
}

/// The master asks for the deletion of what is left all the same, and hears of it then.
async fn clear(host: &Host, request: &CreateRequest) {
    if let Err(left) = leftovers(host, &request.id, &request.bundle).await {
        log::warn("a failed create leaves something", &[("container", &request.id), ("error", &left)]);
    }
}

async fn make(
    host: &Host,
    runtime: &Runtime,
    request: &CreateRequest,
    interrupt: &Notify,
    new_keyring: bool,
) -> Result<CreatedProcess, Error> {
    bundle::runtime(&request.bundle, &request.runtime)?;
    if let Some(path) = &request.cgroup {
        bundle::cgroup(&request.bundle, Some(path))?;
    }
    let streams = request.uris.open_container(host.streams())?;
    let socket = request.uris.terminal.then(|| ConsoleSocket::bind(&request.bundle, "console.sock")).transpose()?;
    let target = Target { id: &request.id, bundle: &request.bundle, interrupt };
    let console = socket.as_ref().map(ConsoleSocket::for_runtime);
    if !new_keyring {
        log::warn("root has no keys left: the container shares its pod's keyring", &[("container", &request.id)]);
    }
    let process = if request.root.is_some() {
        MadeProcess::Guest { sandbox: runtime.create_guest(target, console).await?, streams: streams.process }
    } else {
        let checkpoint = request.checkpoint.as_deref();
        let options = CreateOptions { console, streams: streams.process, new_keyring, checkpoint };
        MadeProcess::OfNode(runtime.create(target, options).await?)
    };
    let terminal = match &socket {
        None => None,
        Some(socket) => Some(socket.receive()?),
    };
    Ok(CreatedProcess { process, ours: streams.ours, terminal })
}

/// Makes the object from what the runtime made.
fn adopt(
    host: &Host,
    runtime: Runtime,
    request: &CreateRequest,
    root: Option<&OciContainer>,
    made: CreatedProcess,
    interrupt: Arc<Notify>,
) -> Result<(OciContainer, Supervised), Error> {
    let CreatedProcess { process, mut ours, terminal } = made;
    let (id, bundle) = (request.id.clone(), request.bundle.clone());
    let (init, ended, oom) = match process {
        MadeProcess::OfNode(Child { pid, ended, .. }) => {
            let (reach, oom) = reach(host, request, pid)?;
            (InitProcess { id, bundle, runtime, pid, reach }, ended, oom)
        }
        MadeProcess::Guest { sandbox, streams } => {
            let name = GuestName { id, bundle, runtime, sandbox };
            let (guest, ended) = Guest::new(&name, streams);
            let GuestName { id, bundle, runtime, sandbox: pid } = name;
            let oom = Oom::follow(root.and_then(|root| root.init.cgroup()));
            (InitProcess { id, bundle, runtime, pid, reach: Reach::Guest(guest) }, ended, oom)
        }
    };
    let (output, input) = match &terminal {
        Some(terminal) => {
            let Pumps { output, input } = ours.pump_terminal(terminal)?;
            (Some(output), input)
        }
        None => (ours.pump()?, None),
    };
    let container = OciContainer {
        init,
        uris: request.uris.clone(),
        execs: Execs::default(),
        output: ours.output,
        terminal,
        mounted: Vec::new(),
        updates: Updates::default(),
        checkpoints: Checkpoints::of(request.checkpoint.is_some()),
        state: watch::Sender::new(OciContainerState::new(ours.stdin)),
        interrupt,
    };
    Ok((container, Supervised { ended, oom, output, input }))
}

/// Takes hold of a process of the node.
fn reach(host: &Host, request: &CreateRequest, pid: u32) -> Result<(Reach, Oom), Error> {
    let pidfd = proc::open(pid).map_err(Error::io("open", &proc::path(pid)))?;
    if let Some(wanted) = request.oom_score_adj {
        proc::correct_oom_score(pid, wanted);
    }
    let cgroup = host.hierarchy.of_process(pid)?;
    let oom = Oom::follow(cgroup.as_ref());
    bundle::cgroup(&request.bundle, cgroup.as_ref().map(Cgroup::path))?;
    let leaf = match (&request.delegation, &cgroup) {
        // Its cgroup namespace has the group as its root by now, and its program does not run yet.
        (Some(Delegation { leaf, owner }), Some(cgroup)) => {
            cgroup.delegate(leaf, *owner, pid)?;
            Some(leaf.clone())
        }
        _ => None,
    };
    Ok((Reach::Process { pidfd, cgroup, leaf }, oom))
}
