//! `peapod port-forward`.

use std::fmt::Write as _;
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

use crate::bounds::{FORWARDED, NOTES};
use crate::cli::PortForwardArgs;
use crate::connect::{CallError, CriClient, QUICK, call};
use crate::select;
use crate::streaming::{EndingSignals, RawOutput, forward};

/// After a client could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where clients connect to, and the pod's port for them.
struct LocalPort {
    listener: TcpListener,
    remote: u16,
}

/// Forwards connections to ports of this node to those of a pod until a signal ends it, or a connection finds the pod
/// gone.
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
    let serving = async {
        // Who does not read holds up no signal.
        tokio::task::spawn_blocking(move || super::print(said.as_bytes())).await??;
        let notes = RawOutput::start(NOTES)?;
        let gone = serve(connection, &pod.id, ports, &notes).await;
        notes.finish().await;
        Err(anyhow::Error::new(gone).context(format!("pod {name} is gone")))
    };
    tokio::select! {
        ended = serving => ended,
        status = signals.next() => Ok(status),
    }
}

/// Ends with the pod. What goes wrong with one connection is said, and of no matter to others.
async fn serve(connection: &CriClient, pod: &str, ports: Vec<LocalPort>, notes: &RawOutput) -> CallError {
    let clients = ports.into_iter().map(|LocalPort { listener, remote }| {
        TcpListenerStream::new(listener).map(move |client| client.map(|client| (client, remote)))
    });
    let (mut clients, mut forwarded) = (select_all(clients), FuturesUnordered::new());
    let mut places = Places::Free;
    loop {
        tokio::select! {
            Some(client) = clients.next(), if forwarded.len() < FORWARDED => match client {
                Ok((client, remote)) => {
                    forwarded.push(one(connection, pod, client, remote));
                    places.look(forwarded.len(), notes);
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(ended) = forwarded.next(), if !forwarded.is_empty() => {
                places.look(forwarded.len(), notes);
                let Err(error) = ended else { continue };
                match error.downcast::<CallError>() {
                    Ok(gone) if gone.is_not_found() => return gone,
                    Ok(error) => note(notes, &error.into()),
                    Err(error) => note(notes, &error),
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

fn note(notes: &RawOutput, error: &anyhow::Error) {
    notes.note(&one_line(&format!("{error:#}")));
}

/// Whether the user knows why a connection is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Places {
    Free,
    /// All are taken, or were and half of them still are: it was said.
    Taken,
}

impl Places {
    fn look(&mut self, taken: usize, notes: &RawOutput) {
        let now = self.after(taken);
        if now == Self::Taken && *self == Self::Free {
            notes.note(&format!(
                "{FORWARDED} connections are forwarded, which is the most: others wait until one has ended"
            ));
        }
        *self = now;
    }

    fn after(self, taken: usize) -> Self {
        match self {
            Self::Free if taken >= FORWARDED => Self::Taken,
            Self::Taken if taken <= FORWARDED / 2 => Self::Free,
            same => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_all_places_are_taken_is_said_once() {
        let mut places = Places::Free;
        for (taken, after) in [
            (FORWARDED - 1, Places::Free),
            (FORWARDED, Places::Taken),
            (FORWARDED - 1, Places::Taken),
            (FORWARDED, Places::Taken),
            (FORWARDED / 2, Places::Free),
            (FORWARDED, Places::Taken),
        ] {
            places = places.after(taken);
            assert_eq!(places, after, "{taken}");
        }
    }
}
