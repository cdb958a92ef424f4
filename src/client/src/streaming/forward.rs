//! A connection to a port of a pod: two channels, of the bytes and of what went wrong.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, sleep_until};

use super::channel::{ChannelSink, ChannelSource, collect, line, open};
use super::error::StreamError;
use crate::bounds::FORWARD_REST;

const DATA: u8 = 0;
const ERROR: u8 = 1;
/// Both channels begin with the number of the port.
const PORT_BYTES: usize = 2;
/// As much as is read at once.
const PIECE: usize = 32 << 10;

/// What is to be waited for once the local end has said all.
enum Rest {
    /// The pod knows, and will end.
    End,
    /// It can't be told: that nothing comes for a while.
    Silence,
}

/// Moves bytes both ways until the pod ends the connection, or nobody is left at this end.
pub(crate) async fn forward(url: &str, local: TcpStream) -> Result<(), StreamError> {
    let (writer, reader) = open(url).await?;
    let (from, to) = local.into_split();
    let pod = PodSide { heard: Cell::new(Instant::now()) };
    let mut receiving = pin!(pod.receive(reader, to));
    let rest = tokio::select! {
        ended = &mut receiving => return ended,
        rest = send(writer, from) => rest,
    };
    match rest {
        Rest::End => receiving.await,
        Rest::Silence => tokio::select! {
            ended = &mut receiving => ended,
            () = pod.silent() => Ok(()),
        },
    }
}

async fn send(mut writer: ChannelSink, mut from: OwnedReadHalf) -> Rest {
    let mut buffer = vec![0; PIECE];
    loop {
        let sent = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => match writer.finish(DATA).await {
                Ok(true) => return Rest::End,
                Ok(false) => return Rest::Silence,
                Err(error) => Err(error),
            },
            Ok(count) => writer.send(DATA, &buffer[..count]).await,
        };
        if sent.is_err() {
            // The reader knows why.
            return pending().await;
        }
    }
}

/// What comes of a pod.
struct PodSide {
    /// When something came last.
    heard: Cell<Instant>,
}

impl PodSide {
    /// Passes it on until the end, or until nobody takes it.
    async fn receive(&self, mut reader: ChannelSource, mut to: OwnedWriteHalf) -> Result<(), StreamError> {
        let (mut heads, mut said) = ([0; 2], Vec::new());
        while let Some((channel, mut payload)) = reader.next().await? {
            self.heard.set(Instant::now());
            let Some(head) = heads.get_mut(usize::from(channel)) else { continue };
            let skipped = payload.len().min(PORT_BYTES - *head);
            *head += skipped;
            let payload = payload.split_off(skipped);
            if channel == ERROR {
                collect(&mut said, &payload);
            } else if to.write_all(&payload).await.is_err() {
                return Ok(());
            }
        }
        // Who has left already does not miss it.
        let _ = to.shutdown().await;
        if said.is_empty() { Ok(()) } else { Err(StreamError::Failed(line(&said))) }
    }

    /// Waits until nothing has come for a while.
    async fn silent(&self) {
        while self.heard.get().elapsed() < FORWARD_REST {
            sleep_until(self.heard.get() + FORWARD_REST).await;
        }
    }
}
