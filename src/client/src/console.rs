//! What the user sees of a running pod: lines of containers under their names, and notes of peapod itself.
//!
//! One thread writes, so that lines never mix and a slow terminal holds up nobody but the readers of logs.

use std::io::{self, IsTerminal, Write};
use std::thread::JoinHandle;

use tokio::sync::mpsc;

use peapod_text::one_line;

/// Lines that may wait for a slow reader.
const QUEUE: usize = 256;

/// Colours of names, as terminals number them; red is left to errors.
const COLOURS: [u8; 5] = [36, 33, 35, 32, 34];

/// Where a container wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Out,
    Err,
}

enum Line {
    Container { colour: usize, name: String, stream: OutputStream, text: Vec<u8> },
    Note(String),
}

/// A handle to write with; clones write to the same place.
#[derive(Clone)]
pub(crate) struct Console {
    lines: mpsc::Sender<Line>,
}

/// The thread that writes. It ends when the last handle is gone, or nobody reads standard output any more.
pub(crate) struct ConsoleWriter(JoinHandle<()>);

impl Console {
    /// Starts to write to standard output and standard error; `width` is that of the longest name.
    pub(crate) fn start(width: usize) -> io::Result<(Self, ConsoleWriter)> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::to(
            width,
            Outputs {
                out: Box::new(io::stdout()),
                err: Box::new(io::stderr()),
                out_colours: io::stdout().is_terminal() && !plain,
                err_colours: io::stderr().is_terminal() && !plain,
            },
        )
    }

    /// Starts to write somewhere.
    pub(crate) fn to(width: usize, mut outputs: Outputs) -> io::Result<(Self, ConsoleWriter)> {
        let (lines, queue) = mpsc::channel(QUEUE);
        let width = width.max("peapod".len());
        let write = move || outputs.write_all(queue, width);
        let thread = std::thread::Builder::new().name("console".to_owned()).spawn(write)?;
        Ok((Self { lines }, ConsoleWriter(thread)))
    }

    /// A line of a container; `colour` is its place among the pod's containers.
    ///
    /// Says false if nobody reads any more.
    pub(crate) async fn line(&self, colour: usize, name: &str, stream: OutputStream, text: Vec<u8>) -> bool {
        self.lines.send(Line::Container { colour, name: name.to_owned(), stream, text }).await.is_ok()
    }

    /// Something that peapod has to say.
    pub(crate) async fn note(&self, text: impl Into<String>) {
        // Nobody reads: nothing to do about it.
        let _ = self.lines.send(Line::Note(text.into())).await;
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.lines.closed().await;
    }
}

impl ConsoleWriter {
    /// Waits until everything is written. All handles have to be gone.
    pub(crate) fn finish(self) {
        let _ = self.0.join();
    }
}

/// Where to write.
pub(crate) struct Outputs {
    pub(crate) out: Box<dyn Write + Send>,
    pub(crate) err: Box<dyn Write + Send>,
    pub(crate) out_colours: bool,
    pub(crate) err_colours: bool,
}

impl Outputs {
    fn write_all(&mut self, mut queue: mpsc::Receiver<Line>, width: usize) {
        while let Some(line) = queue.blocking_recv() {
            match line {
                Line::Note(text) => {
                    let head = head("peapod", width, self.err_colours.then_some(1));
                    // Without standard error there is nobody to tell; the pod goes on.
                    let _ = emit(&mut self.err, &head, one_line(&text).as_bytes());
                }
                Line::Container { colour, name, stream, text } => {
                    let (to, colours) = match stream {
                        OutputStream::Out => (&mut self.out, self.out_colours),
                        OutputStream::Err => (&mut self.err, self.err_colours),
                    };
                    let head = head(&name, width, colours.then_some(COLOURS[colour % COLOURS.len()]));
                    if emit(to, &head, &text).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn head(name: &str, width: usize, colour: Option<u8>) -> String {
    match colour {
        Some(colour) => format!("\x1b[{colour}m{name:width$} |\x1b[0m "),
        None => format!("{name:width$} | "),
    }
}

/// One write for the line, so that other programs' output does not break it.
fn emit(to: &mut impl Write, head: &str, text: &[u8]) -> io::Result<()> {
    let mut line = Vec::with_capacity(head.len() + text.len() + 1);
    line.extend_from_slice(head.as_bytes());
    line.extend_from_slice(text);
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}
