//! Serving: from an inherited listening socket to the end of the pod.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::sandbox_async::create_sandbox;
use containerd_shim_protos::shim_async::create_task;
use peapod_cgroup::Hierarchy;
use peapod_shim_protocol::extension_ttrpc::create_extension;
use tokio::signal::unix::{SignalKind, signal};
use ttrpc::asynchronous::Server;
use ttrpc::asynchronous::transport::Listener;

use crate::args::Args;
use crate::attributes;
use crate::log;
use crate::reaper::Reaper;
use crate::runtime::Sealed;
use crate::server::Service;
use crate::shim::PodShim;
use crate::stdio::Null;
use crate::tasks;

/// How long the answer to the call that ends the shim has to leave.
const FAREWELL: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &Args) -> Result<(), String> {
    log::open(&args.bundle, &args.id);
    attributes::reset();
    detach()?;
    let hierarchy = Hierarchy::detect(Path::new("/sys/fs/cgroup")).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("can't start: {error}"))?;
    let null = Null::open().map_err(|error| format!("can't make a /dev/null for containers: {error}"))?;
    let (id, bundle, reaper) = (args.id.clone(), args.bundle.clone(), Reaper::default());
    let shim = PodShim::new(id, bundle, reaper.clone(), hierarchy, Sealed::from_env(), null);
    runtime.block_on(serve(Arc::new(shim), &reaper))
}

/// The daemon may end; its terminal, group and children's parent are nothing to us.
fn detach() -> Result<(), String> {
    // EPERM: it leads a session already.
    let _ = nix::unistd::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|error| format!("can't become a subreaper: {error}"))
}

async fn serve(shim: Arc<PodShim>, reaper: &Reaper) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    // Handled and not ignored: what is ignored stays so in containers. Nobody reads them.
    let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate(), SignalKind::pipe()];
    let _deaf: Vec<_> = kinds.into_iter().map(signal).collect::<Result<_, _>>().map_err(text)?;
    tasks::spawn(reaper.run().map_err(text)?);
    let stdin = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3).map_err(|error| error.to_string())?;
    let listener = listener(stdin)?;
    let service = Arc::new(Service::new(shim.clone()));
    let mut server = Server::new()
        .register_service(create_task(service.clone()))
        .register_service(create_sandbox(service.clone()))
        .register_service(create_extension(service))
        .add_listener(listener);
    server.start().await.map_err(|error| format!("can't serve: {error}"))?;
    log::info("serving", &[]);
    shim.ended().await;
    tokio::time::sleep(FAREWELL).await;
    log::info("ends as told", &[]);
    Ok(())
}

fn listener(stdin: OwnedFd) -> Result<Listener, String> {
    let fail = |error: std::io::Error| format!("standard input is no listening socket: {error}");
    let is_listening = rustix::net::sockopt::socket_acceptconn(&stdin).unwrap_or(false);
    if !is_listening {
        return Err(fail(std::io::ErrorKind::InvalidInput.into()));
    }
    let listener = UnixListener::from(stdin);
    listener.set_nonblocking(true).map_err(fail)?;
    Listener::try_from(listener).map_err(|error| format!("can't listen: {error}"))
}
