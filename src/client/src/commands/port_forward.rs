//! `peapod port-forward`.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use futures_util::stream::{FuturesUnordered, select_all};
use futures_util::{Stream, StreamExt as _};
use peapod_api::v1;
use peapod_text::one_line;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};
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
        // Notes alone lose nothing that somebody waits for.
        let _ = notes.finish().await;
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
    let one = |(client, port)| one(connection, pod, client, port);
    forward_all(select_all(clients), one, notes).await
}

/// The same of those that come, each of which `one` forwards.
async fn forward_all<C, F: Future<Output = anyhow::Result<()>>>(
    mut clients: impl Stream<Item = std::io::Result<C>> + Unpin,
    one: impl Fn(C) -> F,
    notes: &RawOutput,
) -> CallError {
    let mut forwarded = FuturesUnordered::new();
    let (mut places, mut accepts) = (Places::Free, Accepts::Well);
    loop {
        let pause = accepts.pause();
        tokio::select! {
            Some(client) = clients.next(), if forwarded.len() < FORWARDED && pause.is_none() => match client {
                Ok(client) => {
                    accepts = Accepts::Well;
                    forwarded.push(one(client));
                    places.look(forwarded.len(), notes);
                }
                Err(error) => {
                    if accepts == Accepts::Well {
                        notes.note(&format!("no connection can be accepted: {error}; new ones wait"));
                    }
                    accepts = Accepts::FailedUntil(Instant::now() + PAUSE);
                }
            },
            // Those that are forwarded go on meanwhile.
            () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => accepts = Accepts::Failed,
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
    notes.note(&one_line(&peapod_text::chain(error.as_ref())));
}

/// Whether connections can be accepted. That they can't is said once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepts {
    Well,
    /// And are tried again then.
    FailedUntil(Instant),
    Failed,
}

impl Accepts {
    fn pause(self) -> Option<Instant> {
        match self {
            Self::FailedUntil(moment) => Some(moment),
            Self::Well | Self::Failed => None,
        }
    }
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

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_can_not_be_accepted_holds_up_no_other() {
        use std::io::{Error, ErrorKind};
        let gone = || CallError::Refused { rpc: "PortForward", status: Box::new(tonic::Status::not_found("gone")) };
        // A client, and then none for an hour of tries.
        let failing = futures_util::stream::repeat_with(|| Err(Error::from(ErrorKind::Other))).take(36_000);
        let clients = futures_util::stream::iter([Ok(())]).chain(failing);
        let one = |()| async {
            // It goes on by itself in between, which a pause within its turn would stretch to an hour.
            for _ in 0..100 {
                sleep_until(Instant::now() + Duration::from_millis(1)).await;
            }
            Err(gone().into())
        };
        let (notes, begun) = (RawOutput::start(NOTES).unwrap(), Instant::now());
        forward_all(clients, one, &notes).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        // Notes alone lose nothing that somebody waits for.
        let _ = notes.finish().await;
    }
}
