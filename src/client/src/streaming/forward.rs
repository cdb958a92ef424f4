//! A connection to a port of a pod: two channels, of the bytes and of what went wrong.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest, Ready};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::channel::{ChannelSink, ChannelSource, collect, line, open};
use super::error::StreamError;
use crate::bounds::{FORWARD_REST, FORWARD_SILENCE, SESSION_END};

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Both channels begin with the number of the port.
const PORT_BYTES: usize = 2;
/// Time between two looks whether a local end that is not read from has closed its connection.
const CLOSED_LOOK: Duration = Duration::from_secs(1);
/// As much as is read at once.
const PIECE: usize = 32 << 10;

/// What is to be waited for once nothing more comes of the local end.
enum Rest {
    /// The pod knows, and will end. If not, that nothing comes for long.
    End,
    /// It can't be told: that nothing comes for a while.
    Silence,
    /// Nothing: the local end is gone, and hears no answer.
    Gone,
}

/// Moves bytes both ways until the pod ends the connection, or nobody is left at this end.
pub(crate) async fn forward(url: &str, local: TcpStream) -> Result<(), StreamError> {
    let (writer, reader) = open(url).await?;
    let (from, to) = local.into_split();
    let pod = PodSide::new();
    let mut receiving = pin!(pod.receive(reader, to));
    let rest = tokio::select! {
        ended = &mut receiving => return ended,
        rest = send(writer, from) => rest,
    };
    match rest {
        Rest::End => tokio::select! {
            ended = &mut receiving => ended,
            () = pod.silent(FORWARD_SILENCE) => Err(StreamError::Failed(format!(
                "a connection was given up: its local end has closed it, and nothing came of the pod for {} s",
                FORWARD_SILENCE.as_secs()
            ))),
        },
        Rest::Silence => tokio::select! {
            ended = &mut receiving => ended,
            () = pod.silent(FORWARD_REST) => Ok(()),
        },
        Rest::Gone => Ok(()),
    }
}

async fn send(mut writer: ChannelSink, mut from: OwnedReadHalf) -> Rest {
    let mut buffer = vec![0; PIECE];
    loop {
        let sent = match from.read(&mut buffer).await {
            Ok(0) => match timeout(FORWARD_SILENCE, writer.finish(DATA)).await {
                Ok(Ok(true)) => return Rest::End,
                Ok(Ok(false)) => return Rest::Silence,
                Ok(Err(error)) => Err(error),
                Err(_) => return Rest::Gone,
            },
            Ok(count) => tokio::select! {
                sent = writer.send(DATA, &buffer[..count]) => sent,
                () = left(&from) => return Rest::Gone,
            },
            // A reset.
            Err(_) => return Rest::Gone,
        };
        if sent.is_err() {
            // The reader knows why.
            return pending().await;
        }
    }
}

/// Waits until the local end has closed the connection and nothing of it was taken for long. What it sent before is not
/// read yet, so nothing wakes who waits: it is looked for.
async fn left(from: &OwnedReadHalf) {
    let is_closed = || {
        let ready = from.ready(Interest::READABLE).now_or_never();
        ready.is_some_and(|ready| ready.map_or(true, Ready::is_read_closed))
    };
    while !is_closed() {
        sleep(CLOSED_LOOK).await;
    }
    sleep(FORWARD_SILENCE).await;
}

/// What comes of a pod.
struct PodSide {
    /// Since when nothing comes. `None`: something has come, and the local end has yet to take it.
    silent_since: Cell<Option<Instant>>,
}

impl PodSide {
    fn new() -> Self {
        Self { silent_since: Cell::new(Some(Instant::now())) }
    }

    /// Passes it on until the end, or until nobody takes it.
    async fn receive(&self, mut reader: ChannelSource, mut to: impl AsyncWrite + Unpin) -> Result<(), StreamError> {
        let (mut heads, mut said, mut farewell) = ([0; 2], Vec::new(), None);
        loop {
            // After what went wrong nothing is to come.
            let message = match farewell {
                None => reader.next().await,
                Some(until) => reader.next_until(until).await,
            };
            let Some((channel, mut payload)) = message? else { break };
            self.silent_since.set(None);
            if let Some(head) = heads.get_mut(usize::from(channel)) {
                let skipped = payload.len().min(PORT_BYTES - *head);
                *head += skipped;
                let payload = payload.split_off(skipped);
                if channel == ERROR {
                    collect(&mut said, &payload);
                    farewell = farewell.or((!said.is_empty()).then(|| Instant::now() + SESSION_END));
                } else if to.write_all(&payload).await.is_err() {
                    return Ok(());
                }
            }
            self.silent_since.set(Some(Instant::now()));
        }
        // Who has left already does not miss it.
        let _ = to.shutdown().await;
        if said.is_empty() { Ok(()) } else { Err(StreamError::Failed(line(&said))) }
    }

    /// Waits until nothing has come for so long from now on.
    async fn silent(&self, time: Duration) {
        let began = Instant::now();
        loop {
            let due = self.silent_since.get().unwrap_or_else(Instant::now).max(began) + time;
            if Instant::now() >= due {
                return;
            }
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::SinkExt as _;
    use tokio::time::{pause, sleep, timeout};
    use tokio_tungstenite::tungstenite::Message;

    use super::super::tests::{accept, listen};
    use super::*;

    /// A local end that is slow to read is no silence of the pod's.
    #[tokio::test]
    async fn silence() {
        let (listener, url) = listen().await;
        let (opened, mut socket) = tokio::join!(open(&url), accept(&listener, "v4.channel.k8s.io"));
        let (_writer, reader) = opened.unwrap();
        let (near, mut far) = tokio::io::duplex(4);
        let pod = PodSide::new();
        let user = async {
            socket.send(Message::binary(&b"\x00\x50\x00more than four"[..])).await.unwrap();
            let mut heard = [0; 14];
            far.read_exact(&mut heard[..1]).await.unwrap();
            pause();
            timeout(6 * FORWARD_REST, pod.silent(FORWARD_REST)).await.unwrap_err();
            far.read_exact(&mut heard[1..]).await.unwrap();
            assert_eq!(&heard, b"more than four");
            // What was before the question does not count.
            for before in [Duration::ZERO, 6 * FORWARD_REST] {
                sleep(before).await;
                let began = Instant::now();
                pod.silent(FORWARD_REST).await;
                assert!(began.elapsed() >= FORWARD_REST && began.elapsed() < FORWARD_REST + Duration::from_secs(1));
            }
        };
        tokio::select! {
            ended = pod.receive(reader, near) => panic!("{ended:?}"),
            () = user => {}
        }
    }
}
