//! A session of exec whose streams are this program's own, not this process'.

use std::convert::Infallible;
use std::future::pending;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use super::channel::{ChannelSink, ChannelSource, collect, line, open};
use super::command::{ERROR, STDERR, STDIN, STDOUT};
use super::end::{exit_code, is_whole};
use super::error::StreamError;
use crate::bounds::SESSION_END;

/// How a command has ended.
#[derive(Debug)]
pub(crate) struct TransferEnd {
    /// Its exit code.
    pub(crate) code: u8,
    /// The begin of what it complained of, as one line.
    pub(crate) complaint: String,
}

/// Passes `input` to a command until it ends, and what it writes to `output`, until its end. That nobody takes its
/// output any more ends the session with 0: then nobody asks how the command ended. Without an `output` it is passed
/// over.
pub(crate) async fn transfer(
    url: &str,
    input: Option<mpsc::Receiver<Vec<u8>>>,
    output: Option<mpsc::Sender<Bytes>>,
) -> Result<TransferEnd, StreamError> {
    let (writer, reader) = open(url).await?;
    tokio::select! {
        ended = receive(reader, output) => ended,
        never = send(writer, input) => match never {},
    }
}

async fn receive(mut reader: ChannelSource, output: Option<mpsc::Sender<Bytes>>) -> Result<TransferEnd, StreamError> {
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    // None before all is said: a server that stays after that is not waited for long.
    let mut farewell: Option<Instant> = None;
    loop {
        let message = match farewell {
            None => reader.next().await,
            Some(until) => reader.next_until(until).await,
        };
        let (channel, payload) = match message {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(error) if said.is_empty() || !error.is_broken() => return Err(error),
            Err(_) => break,
        };
        let begun = Instant::now();
        match channel {
            STDOUT => {
                if let Some(output) = &output
                    && !payload.is_empty()
                    && output.send(payload).await.is_err()
                {
                    return Ok(TransferEnd { code: 0, complaint: line(&complaint) });
                }
            }
            STDERR => collect(&mut complaint, &payload),
            ERROR => {
                collect(&mut said, &payload);
                if farewell.is_none() && is_whole(&said) {
                    farewell = Some(Instant::now() + SESSION_END);
                }
            }
            _ => {}
        }
        // What was waited for who takes the output is not the server's time.
        farewell = farewell.map(|until| until + begun.elapsed());
    }
    Ok(TransferEnd { code: exit_code(&said)?, complaint: line(&complaint) })
}

/// When nobody hears any more, the reader knows.
async fn send(mut writer: ChannelSink, input: Option<mpsc::Receiver<Vec<u8>>>) -> Infallible {
    if let Some(mut input) = input {
        while let Some(piece) = input.recv().await {
            if writer.send(STDIN, &piece).await.is_err() {
                return pending().await;
            }
        }
        // A server that can't be told goes by the archive's own end.
        let _ = writer.finish(STDIN).await;
    }
    pending().await
}
