//! What a command writes, written by a thread: a slow reader holds up nothing but the session's output.

use std::io::{self, IsTerminal as _, Write};

use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Bytes;

use super::error::StreamError;
use crate::console::{OutputStream, is_closed};

/// To write with.
pub(crate) struct RawOutput {
    pieces: mpsc::Sender<OutputPiece>,
    written: oneshot::Receiver<Result<(), StreamError>>,
}

enum OutputPiece {
    /// Of what is to be seen: when it can't be written there is nothing more to do.
    Stream(OutputStream, Bytes),
    /// What peapod has to say beside it, on standard error. It may find no reader.
    Note(String),
}

/// One of this process' streams.
pub(super) struct RawStream {
    to: Box<dyn Write + Send>,
    is_terminal: bool,
    /// What to say if it can't be written to.
    problem: &'static str,
}

impl RawStream {
    pub(super) fn out(to: impl Write + Send + 'static, is_terminal: bool) -> Self {
        Self { to: Box::new(to), is_terminal, problem: "cannot write to standard output" }
    }

    pub(super) fn err(to: impl Write + Send + 'static, is_terminal: bool) -> Self {
        Self { to: Box::new(to), is_terminal, problem: "cannot write to standard error" }
    }

    fn put(&mut self, piece: &[u8]) -> Result<(), Unwritten> {
        let written = self.to.write_all(piece).and_then(|()| self.to.flush());
        written.map_err(|source| match is_closed(&source, self.is_terminal) {
            true => Unwritten::NobodyReads,
            false => Unwritten::Lost(StreamError::Local { what: self.problem, source }),
        })
    }
}

/// Why nothing more is written.
enum Unwritten {
    /// Who read has gone, and wants no more.
    NobodyReads,
    /// Who wanted it does not get it.
    Lost(StreamError),
}

impl RawOutput {
    /// To standard output and standard error, byte by byte as it came. So many pieces may wait.
    pub(crate) fn start(waiting: usize) -> Result<Self, StreamError> {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_seen, err_seen) = (out.is_terminal(), err.is_terminal());
        Self::to(RawStream::out(out, out_seen), RawStream::err(err, err_seen), waiting)
    }

    pub(super) fn to(mut out: RawStream, mut err: RawStream, waiting: usize) -> Result<Self, StreamError> {
        let (pieces, mut queue) = mpsc::channel(waiting);
        let (end, written) = oneshot::channel();
        let write = move || {
            let mut end_of_all = Ok(());
            while let Some(piece) = queue.blocking_recv() {
                let put = match piece {
                    OutputPiece::Stream(OutputStream::Out, piece) => out.put(&piece),
                    OutputPiece::Stream(OutputStream::Err, piece) => err.put(&piece),
                    OutputPiece::Note(text) => {
                        let _ = err.put(text.as_bytes());
                        Ok(())
                    }
                };
                match put {
                    Ok(()) => {}
                    Err(Unwritten::NobodyReads) => break,
                    Err(Unwritten::Lost(error)) => {
                        end_of_all = Err(error);
                        break;
                    }
                }
            }
            // Nobody waits for it after a signal.
            let _ = end.send(end_of_all);
        };
        let started = std::thread::Builder::new().name("output".to_owned()).spawn(write);
        started.map_err(StreamError::local("can't write to standard output"))?;
        Ok(Self { pieces, written })
    }

    /// False: nothing more is written, of which [`RawOutput::finish`] tells.
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

    /// Waits until all is written, or nobody reads any more.
    ///
    /// # Errors
    /// If something could not be written that somebody may still want, such as to a file on a full disk.
    pub(crate) async fn finish(self) -> Result<(), StreamError> {
        drop(self.pieces);
        // A thread that has ended without a word has written what it could.
        self.written.await.unwrap_or(Ok(()))
    }
}
