//! What a command writes, written by a thread: a slow reader holds up nothing but the session's output.

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Bytes;

use super::error::StreamError;
use crate::console::OutputStream;

/// To write with.
pub(crate) struct RawOutput {
    pieces: mpsc::Sender<OutputPiece>,
    ended: oneshot::Receiver<()>,
}

enum OutputPiece {
    /// Of what is to be seen: without a reader there is nothing more to do.
    Stream(OutputStream, Bytes),
    /// What peapod has to say beside it, on standard error. It may find no reader.
    Note(String),
}

impl RawOutput {
    /// To standard output and standard error, byte by byte as it came. So many pieces may wait.
    pub(crate) fn start(waiting: usize) -> Result<Self, StreamError> {
        let (pieces, mut queue) = mpsc::channel(waiting);
        let (end, ended) = oneshot::channel();
        let write = move || {
            while let Some(piece) = queue.blocking_recv() {
                let written = match piece {
                    OutputPiece::Stream(OutputStream::Out, piece) => put(&mut io::stdout().lock(), &piece),
                    OutputPiece::Stream(OutputStream::Err, piece) => put(&mut io::stderr().lock(), &piece),
                    OutputPiece::Note(text) => {
                        let _ = put(&mut io::stderr().lock(), text.as_bytes());
                        Ok(())
                    }
                };
                if written.is_err() {
                    break;
                }
            }
            drop(end);
        };
        let started = std::thread::Builder::new().name("output".to_owned()).spawn(write);
        started.map_err(StreamError::local("can't write to standard output"))?;
        Ok(Self { pieces, ended })
    }

    /// False: nobody reads any more.
    pub(super) async fn write(&self, stream: OutputStream, piece: Bytes) -> bool {
        self.pieces.send(OutputPiece::Stream(stream, piece)).await.is_ok()
    }

    /// A line for standard error that holds nobody up: it is left out if too much waits already.
    pub(crate) fn note(&self, text: &str) {
        let _ = self.pieces.try_send(OutputPiece::Note(format!("peapod: {text}\n")));
    }

    /// The same, which waits for its turn.
    pub(super) async fn say(&self, text: &str) {
        let _ = self.pieces.send(OutputPiece::Note(format!("peapod: {text}\n"))).await;
    }

    /// Waits until all is written.
    pub(crate) async fn finish(self) {
        drop(self.pieces);
        // It only ends.
        let _ = self.ended.await;
    }
}

fn put(to: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    to.write_all(piece)?;
    to.flush()
}
