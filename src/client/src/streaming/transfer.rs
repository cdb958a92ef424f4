//! A session of exec whose streams are this program's own, not this process'.

use std::future::pending;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Bytes;

use super::channel::{ChannelSink, ChannelSource, collect, line, open};
use super::command::STDIN;
use super::command_source::CommandSource;
use super::end::exit_code;
use super::error::StreamError;
use crate::console::OutputStream;

/// How long a command has to end by what it was sent, where it can't be told that this was all.
const OWN_END: Duration = Duration::from_secs(10);

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
        error = send(writer, input) => Err(error),
    }
}

async fn receive(reader: ChannelSource, output: Option<mpsc::Sender<Bytes>>) -> Result<TransferEnd, StreamError> {
    let (mut source, mut complaint) = (CommandSource::new(reader), Vec::new());
    while let Some((stream, payload)) = source.next().await? {
        match (stream, &output) {
            (OutputStream::Err, _) => collect(&mut complaint, &payload),
            (OutputStream::Out, None) => {}
            (OutputStream::Out, Some(output)) => {
                if output.send(payload).await.is_err() {
                    return Ok(TransferEnd { code: 0, complaint: lines(&complaint) });
                }
            }
        }
    }
    Ok(TransferEnd { code: exit_code(&source.said())?, complaint: lines(&complaint) })
}

/// When nobody hears any more, the reader knows. A server that can't be told of the input's end goes by the archive's
/// own; a command that waits for more all the same is not awaited for ever.
async fn send(mut writer: ChannelSink, input: Option<mpsc::Receiver<Vec<u8>>>) -> StreamError {
    if let Some(mut input) = input {
        while let Some(piece) = input.recv().await {
            if writer.send(STDIN, &piece).await.is_err() {
                return pending().await;
            }
        }
        if let Ok(false) = writer.finish(STDIN).await {
            sleep(OWN_END).await;
            return StreamError::Deaf;
        }
    }
    pending().await
}

/// What a command complained of, in one line.
fn lines(text: &[u8]) -> String {
    text.split(|byte| *byte == b'\n').map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
