//! A session of exec or attach: this process' streams, and perhaps its terminal, become the command's.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::channel::{ChannelSink, ChannelSource, open};
use super::command_source::CommandSource;
use super::end::exit_code;
use super::error::StreamError;
use super::input::standard_input;
use super::output::RawOutput;
use super::signals::EndingSignals;
use super::terminal::{self, RawTerminal};
use crate::bounds::PIECES;

pub(super) const STDIN: u8 = 0;
const RESIZE: u8 = 4;

/// The exit status of who has nobody left to write to, as a shell tells it of one that SIGPIPE ended.
const NOBODY_READS: u8 = 141;

const DEAF: &str = "this runtime can't be told that standard input has ended: a command that waits for that goes on";

/// What of a command this process takes part in, beside its output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommandSide {
    /// Its input.
    pub(crate) stdin: bool,
    /// A terminal.
    pub(crate) tty: bool,
    /// How long at most, if there is a limit: then the session is ended.
    pub(crate) limit: Option<Duration>,
}

/// Takes part in a session until its end; answers the command's exit code, or 128 and the signal that ended this
/// process. However it ends, the terminal is as it was.
pub(crate) async fn converse(url: &str, side: CommandSide) -> Result<u8, StreamError> {
    let mut signals = EndingSignals::listen()?;
    tokio::select! {
        ended = session(url, side, RawOutput::start(PIECES)?) => ended,
        status = signals.next() => Ok(status),
    }
}

pub(super) async fn session(url: &str, side: CommandSide, output: RawOutput) -> Result<u8, StreamError> {
    let (writer, reader) = open(url).await?;
    let resized = signal(SignalKind::window_change()).map_err(StreamError::local("can't listen for signals"))?;
    let raw = if side.stdin && side.tty { RawTerminal::enter() } else { Ok(None) };
    let _raw = raw.map_err(StreamError::local("can't set the terminal"))?;
    let input = if side.stdin { Some(standard_input()?) } else { None };
    let said = tokio::select! {
        said = receive(reader, &output) => said,
        error = over(side.limit) => Err(error),
        never = send(writer, input, side.tty.then_some(resized), &output) => match never {},
    };
    // What is lost matters more than how the command ended: with 0 nobody would look whether all is there.
    // The connection is gone by now, and with it a command that has not ended; what it had written is there.
    output.finish().await?;
    said?.map_or(Ok(NOBODY_READS), |said| exit_code(&said))
}

/// Passes output on until the end; answers what was said about that. `None`: nothing
/// more is written.
pub(super) async fn receive(reader: ChannelSource, output: &RawOutput) -> Result<Option<Vec<u8>>, StreamError> {
    let mut source = CommandSource::new(reader);
    while let Some((stream, payload)) = source.next().await? {
        if !output.write(stream, payload).await {
            return Ok(None);
        }
    }
    Ok(Some(source.said()))
}

/// Passes on what is typed, and the terminal's sizes. When nobody hears that any more, the reader knows.
async fn send(
    mut writer: ChannelSink,
    mut input: Option<mpsc::Receiver<Vec<u8>>>,
    mut resized: Option<Signal>,
    output: &RawOutput,
) -> Infallible {
    let mut size = resized.as_ref().and_then(|_| terminal::size());
    loop {
        if let Some(size) = size.take()
            && writer.send(RESIZE, size.as_bytes()).await.is_err()
        {
            return pending().await;
        }
        let sent = tokio::select! {
            piece = next(&mut input) => match piece {
                Some(piece) => writer.send(STDIN, &piece).await,
                None => {
                    input = None;
                    // In a terminal the end of the input is no end of anything.
                    let tells = resized.is_none();
                    match writer.finish(STDIN).await {
                        Ok(false) if tells => {
                            output.say(DEAF).await;
                            Ok(())
                        }
                        finished => finished.map(drop),
                    }
                }
            },
            () = changed(&mut resized) => {
                size = terminal::size();
                Ok(())
            }
        };
        if sent.is_err() {
            return pending().await;
        }
    }
}

/// Without a limit, never.
async fn over(limit: Option<Duration>) -> StreamError {
    match limit {
        Some(limit) => {
            sleep(limit).await;
            StreamError::TimedOut(limit)
        }
        None => pending().await,
    }
}

/// Without an input, never.
async fn next(input: &mut Option<mpsc::Receiver<Vec<u8>>>) -> Option<Vec<u8>> {
    match input {
        Some(input) => input.recv().await,
        None => pending().await,
    }
}

/// Without a terminal, never.
async fn changed(resized: &mut Option<Signal>) {
    match resized {
        Some(resized) => drop(resized.recv().await),
        None => pending().await,
    }
}
