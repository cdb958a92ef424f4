//! Create: root file system, streams, `runtime create`. A failure undoes all of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{Notify, OnceCell, oneshot, watch};
use tokio::task::JoinHandle;

use super::oom::Oom;
use super::{Container, Phase, delete, process, record, rootfs, signal, supervise};
use crate::core::Core;
use crate::error::Error;
use crate::log;
use crate::mount::{Mount, unmount};
use crate::reaper::{Ended, Expectation};
use crate::runtime::{Call, Runtime, read_pid};
use crate::stdio::Uris;
use crate::stdio::console::ConsoleSocket;
use crate::stdio::plan::{Ours, Pumps};

/// What the master asks for.
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: Vec<RootMount>,
    pub(crate) uris: Uris,
    pub(crate) runtime: Runtime,
}

/// One mount of the root file system, at its top.
pub(crate) struct RootMount {
    pub(crate) kind: String,
    pub(crate) source: String,
    pub(crate) options: Vec<String>,
}

/// Creates a container and starts the task that sees its end.
pub(crate) async fn create(core: &Arc<Core>, request: Request) -> Result<Arc<Container>, Error> {
    check_id(&request.id)?;
    let place = core.reserve(&request.id)?;
    let work =
        request.rootfs.iter().flat_map(|mount| &mount.options).filter_map(|option| option.strip_prefix("workdir="));
    let mut mounts = Mounts { bundle: &request.bundle, made: false, work: work.map(PathBuf::from).collect() };
    let began = Instant::now();
    for mount in &request.rootfs {
        let target = rootfs(&request.bundle);
        Mount { kind: &mount.kind, source: &mount.source, target: &target, options: &mount.options }.make()?;
        mounts.made = true;
    }
    log::info("root file system mounted", &[("container", &request.id), ("us", &began.elapsed().as_micros())]);
    record::runtime(&request.bundle, &request.runtime)?;
    // From here on a child's end may come before its number.
    let expectation = core.reaper.expect();
    let made = match run(core, &request, &place.calls).await {
        Ok((ours, terminal)) => adopt(core, &request, &expectation, ours, (terminal, mounts.made, place.calls.clone())),
        Err(error) => Err(error),
    };
    let (container, parts) = match made {
        Ok(made) => made,
        Err(error) => {
            // The master asks for the deletion of what is left all the same, and hears of it then.
            if let Err(left) = delete::leftovers(core, &request.id, &request.bundle).await {
                log::warn("a failed create leaves something", &[("container", &request.id), ("error", &left)]);
            }
            return Err(error);
        }
    };
    mounts.made = false;
    place.fill(container.clone());
    tokio::spawn(supervise::run(core.clone(), container.clone(), parts));
    Ok(container)
}

/// What the supervisor owns of a container.
pub(crate) struct Parts {
    pub(crate) ended: oneshot::Receiver<Ended>,
    pub(crate) oom: Oom,
    pub(crate) output: Option<JoinHandle<()>>,
    pub(crate) input: Option<JoinHandle<()>>,
}

async fn run(
    core: &Arc<Core>,
    request: &Request,
    calls: &Notify,
) -> Result<(Ours, Option<std::os::fd::OwnedFd>), Error> {
    let streams = request.uris.open(&core.null)?;
    let socket = request.uris.terminal.then(|| ConsoleSocket::bind(&request.bundle, "console.sock")).transpose()?;
    let pid_file = process::pid_file(&request.bundle);
    let mut args =
        vec![OsStr::new("--bundle"), request.bundle.as_os_str(), "--pid-file".as_ref(), pid_file.as_os_str()];
    if let Some(socket) = &socket {
        args.extend([OsStr::new("--console-socket"), socket.for_runtime().as_os_str()]);
    }
    if crate::keys::are_spent() {
        log::warn("root has no keys left: the container shares its pod's keyring", &[("container", &request.id)]);
        args.push("--no-new-keyring".as_ref());
    }
    args.push(request.id.as_ref());
    let mut call = Call::new("create", request.bundle.join("create.log"), &args).until(calls);
    call.streams = Some(streams.process);
    core.run(&request.runtime, call).await?;
    let terminal = match &socket {
        None => None,
        Some(socket) => Some(socket.receive().await?),
    };
    Ok((streams.ours, terminal))
}

/// Makes the object from what the runtime made.
fn adopt(
    core: &Core,
    request: &Request,
    expectation: &Expectation,
    mut ours: Ours,
    (terminal, mounted, calls): (Option<std::os::fd::OwnedFd>, bool, Arc<Notify>),
) -> Result<(Arc<Container>, Parts), Error> {
    let pid = read_pid(&process::pid_file(&request.bundle))?;
    let pidfd = process::open(pid)?;
    process::settle_oom_score(pid, &request.bundle);
    let cgroup = core.hierarchy.of_process(pid)?;
    let ended = expectation.claim(pid);
    let oom = Oom::follow(cgroup.as_ref());
    record::cgroup(&request.bundle, cgroup.as_ref())?;
    let (output, input) = match &terminal {
        Some(terminal) => {
            let Pumps { output, input } = ours.pump_terminal(terminal)?;
            (Some(output), input)
        }
        None => (ours.pump()?, None),
    };
    let container = Container {
        id: request.id.clone(),
        bundle: request.bundle.clone(),
        runtime: request.runtime.clone(),
        uris: request.uris.clone(),
        pid,
        pidfd,
        cgroup,
        log: ours.log,
        terminal,
        mounted,
        stdin: Mutex::new(ours.stdin),
        phase: watch::Sender::new(Phase::Created),
        started_at: Mutex::new(0),
        stop: watch::Sender::new(signal::Stop::default()),
        exit: watch::Sender::new(None),
        execs: Mutex::new(HashMap::new()),
        calls,
        released: OnceCell::new(),
    };
    Ok((Arc::new(container), Parts { ended, oom, output, input }))
}

/// A name for files and for the runtime.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    let dots = id.chars().all(|c| c == '.');
    if id.is_empty() || id.len() > 128 || dots || !id.chars().all(fine) {
        return Err(Error::Invalid { field: "id", why: format!("{id:?} must be letters, digits, - _ . + alone") });
    }
    Ok(())
}

/// Unmounts the root file system of a create that fails.
struct Mounts<'a> {
    bundle: &'a Path,
    made: bool,
    /// Of overlays.
    work: Vec<PathBuf>,
}

/// A volatile overlay leaves a mark that forbids to use its upper directory again, as a crash may have left half of it. This one was
/// unmounted in peace and may be tried again.
fn forget_volatile(work: &Path) {
    if let Err(error) = peapod_sys::remove_tree(&work.join("work/incompat")) {
        log::warn("a failed create leaves an overlay's mark", &[("path", &work.display()), ("error", &error)]);
    }
}

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        if self.made
            && let Err(error) = unmount(&rootfs(self.bundle))
        {
            log::warn("a failed create leaves a mount", &[("error", &error)]);
        }
        self.work.iter().for_each(|work| forget_volatile(work));
    }
}

#[cfg(test)]
mod tests {
    use super::check_id;

    #[test]
    fn ids_are_names() {
        for id in ["a", "0123abcdef", "a-b_c.d+e"] {
            assert!(check_id(id).is_ok(), "{id}");
        }
        for id in ["", ".", "..", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(check_id(id).is_err(), "{id}");
        }
    }
}
