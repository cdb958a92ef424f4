//! `peapod port-forward`.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, select_all};
use peapod_api::v1;
use peapod_text::one_line;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_stream::wrappers::TcpListenerStream;

use crate::bounds::FORWARDED;
use crate::cli::PortForwardArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::select;
use crate::streaming::{EndingSignals, forward};

/// After a client could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where clients connect to, and the pod's port for them.
struct LocalPort {
    listener: TcpListener,
    remote: u16,
}

/// Forwards connections to ports of this node to those of a pod until a signal ends it, or the pod is gone.
pub(crate) async fn port_forward(connection: &CriClient, args: &PortForwardArgs) -> anyhow::Result<u8> {
    let mut signals = EndingSignals::listen()?;
    let pod = select::pod(connection, &args.pod).await?;
    let name = select::pod_name(&pod);
    anyhow::ensure!(pod.state() == v1::PodSandboxState::SandboxReady, "pod {name} has stopped: it has no ports");
    let (mut ports, mut said) = (Vec::new(), String::new());
    for port in &args.ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.local)).await;
        let listener = listener.with_context(|| format!("cannot listen on 127.0.0.1:{}", port.local))?;
        writeln!(said, "Forwarding from {} -> {}", listener.local_addr()?, port.remote)?;
        ports.push(LocalPort { listener, remote: port.remote });
    }
    super::print(said.as_bytes())?;
    tokio::select! {
        gone = serve(connection, &pod.id, ports) => {
            Err(anyhow::Error::new(gone).context(format!("pod {name} is gone")))
        }
        status = signals.next() => Ok(status),
    }
}

/// Ends with the pod. What goes wrong with one connection is said, and of no matter to others.
async fn serve(connection: &CriClient, pod: &str, ports: Vec<LocalPort>) -> CallError {
    let clients = ports.into_iter().map(|LocalPort { listener, remote }| {
        TcpListenerStream::new(listener).map(move |client| client.map(|client| (client, remote)))
    });
    let (mut clients, mut forwarded) = (select_all(clients), FuturesUnordered::new());
    loop {
        tokio::select! {
            Some(client) = clients.next(), if forwarded.len() < FORWARDED => match client {
                Ok((client, remote)) => forwarded.push(one(connection, pod, client, remote)),
                Err(_) => sleep(PAUSE).await,
            },
            Some(ended) = forwarded.next(), if !forwarded.is_empty() => {
                let Err(error) = ended else { continue };
                match error.downcast::<CallError>() {
                    Ok(gone) if gone.is_not_found() => return gone,
                    Ok(error) => note(&error.into()),
                    Err(error) => note(&error),
                }
            }
        }
    }
}

/// Each connection has a session of its own.
async fn one(connection: &CriClient, pod: &str, client: TcpStream, port: u16) -> anyhow::Result<()> {
    let request = v1::PortForwardRequest { pod_sandbox_id: pod.to_owned(), port: vec![port.into()] };
    let answer = call("PortForward", QUICK, connection.runtime.clone().port_forward(request)).await?;
    Ok(forward(&answer.url, client).await?)
}

fn note(error: &anyhow::Error) {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "peapod: {}", one_line(&format!("{error:#}")));
}
