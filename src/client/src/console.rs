//! What the user sees of a running pod: lines of containers under their names, and notes of peapod itself.
//!
//! One thread writes, so that lines never mix and a slow terminal holds up nobody but the readers of logs.

mod closed;
mod escape;
mod room;
#[cfg(test)]
mod slow_tests;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use peapod_sys::LostLines;
use peapod_text::one_line;

pub(crate) use closed::is_closed;
use room::{Place, WaitingRoom};

/// Colours of names, as terminals number them; red is left to errors.
const COLOURS: [u8; 5] = [36, 33, 35, 32, 34];

/// Where a container wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Out,
    Err,
}

enum Line {
    Container {
        colour: usize,
        name: String,
        stream: OutputStream,
        text: Vec<u8>,
    },
    Note(String),
    /// Something else stands below all lines.
    Show,
    /// All pods are ready or have ended, with that exit status.
    Settled(u8),
}

/// A line on its way, and the place that it takes up until it is written.
struct Queued {
    line: Line,
    place: Place,
}

/// A handle to write with; clones write to the same place.
#[derive(Clone)]
pub(crate) struct Console {
    /// Bounded by its room.
    lines: mpsc::UnboundedSender<Queued>,
    room: Arc<WaitingRoom>,
    /// The one of several pods that it speaks for; else nothing.
    pod: String,
    /// Whether somebody sees what is shown below the lines.
    has_screen: bool,
}

/// The thread that writes. It ends when the last handle is gone, or nobody reads standard output any more.
pub(crate) struct ConsoleWriter(JoinHandle<u64>);

impl Console {
    /// Starts to write to standard output and standard error; `width` is that of the longest name.
    pub(crate) fn start(width: usize) -> io::Result<(Self, ConsoleWriter)> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::to(
            width,
            Outputs {
                out: ConsoleStream::new(Box::new(io::stdout()), io::stdout().is_terminal(), plain),
                err: ConsoleStream::new(Box::new(io::stderr()), io::stderr().is_terminal(), plain),
                screen: io::stderr().is_terminal().then(Screen::default),
                waiting: None,
            },
        )
    }

    /// Starts to write somewhere.
    pub(crate) fn to(width: usize, mut outputs: Outputs) -> io::Result<(Self, ConsoleWriter)> {
        let (lines, queue) = mpsc::unbounded_channel();
        let room = Arc::new(WaitingRoom::new());
        let width = width.max("peapod".len());
        let has_screen = outputs.screen.is_some();
        let own = room.clone();
        let write = move || outputs.write_all(queue, &own, width);
        let thread = std::thread::Builder::new().name("console".to_owned()).spawn(write)?;
        Ok((Self { lines, room, pod: String::new(), has_screen }, ConsoleWriter(thread)))
    }

    /// To speak for one pod; with a name if there are several.
    pub(crate) fn of_pod(&self, name: &str) -> Self {
        Self { pod: name.to_owned(), ..self.clone() }
    }

    /// Whether somebody sees what [`Console::show`] shows.
    pub(crate) fn has_screen(&self) -> bool {
        self.has_screen
    }

    /// What stands below all lines from now on, in place of what the same pod showed before; nothing takes it away. It
    /// never waits for the reader.
    pub(crate) async fn show(&self, lines: Vec<String>) {
        if self.has_screen
            && let Some(place) = self.room.for_show(&self.pod, lines)
        {
            self.send(Line::Show, place);
        }
    }

    /// Says false if nobody reads any more; mostly there is nothing to do about it.
    fn send(&self, line: Line, place: Place) -> bool {
        self.lines.send(Queued { line, place }).is_ok()
    }

    /// Shows how much is left of a grace, as long as this is waited for. Then [`Console::show`] nothing.
    pub(crate) async fn count_down(&self, seconds: u32) -> Infallible {
        let end = Instant::now() + Duration::from_secs(seconds.into());
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                self.show(Vec::new()).await;
                return std::future::pending().await;
            }
            let whole = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            self.show(vec![format!("stopping: {whole} s left, Ctrl-C kills at once")]).await;
            tokio::time::sleep(left - Duration::from_secs(whole - 1)).await;
        }
    }

    /// All pods are ready or have ended: who waits for that gets this exit status, and nothing more.
    pub(crate) async fn settled(&self, status: u8) {
        if self.room.settles() {
            self.send(Line::Settled(status), None);
        }
    }

    /// A line of a container; `colour` is its place among the pod's containers. Without a name it stands as it is.
    ///
    /// Says false if nobody reads any more.
    pub(crate) async fn line(&self, colour: usize, name: &str, stream: OutputStream, text: Vec<u8>) -> bool {
        let name = if self.pod.is_empty() { name.to_owned() } else { format!("{}/{name}", self.pod) };
        let place = self.room.for_line().await;
        self.send(Line::Container { colour, name, stream, text }, place)
    }

    /// Lets the log of an ended container be printed as the reader reads, while everything else goes on. Says false if
    /// too many are printed so: then the rest of it is not.
    pub(crate) fn leave(&self, mut printer: tokio::task::JoinHandle<()>) -> bool {
        let place = self.room.for_log();
        let is_left = place.is_some();
        if is_left {
            tokio::spawn(async move {
                // A printer that has failed has said so.
                let _ = (&mut printer).await;
                drop(place);
            });
        } else {
            printer.abort();
        }
        is_left
    }

    /// Something that peapod has to say. It never waits for the reader: what does not fit is left out, and counted.
    pub(crate) async fn note(&self, text: impl Into<String>) {
        let text = text.into();
        let text = if self.pod.is_empty() { text } else { format!("{}: {text}", self.pod) };
        if let Some(place) = self.room.for_note(text.len()) {
            if let Some(left_out) = self.room.left_out() {
                self.send(Line::Note(left_out), None);
            }
            self.send(Line::Note(text), place);
        }
    }

    /// Waits until nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.lines.closed().await;
    }
}

impl ConsoleWriter {
    /// Waits until everything is written, and says how many lines of containers could not be. All handles have to be
    /// gone.
    pub(crate) fn finish(self) -> u64 {
        self.0.join().unwrap_or_default()
    }
}

/// Where to write.
pub(crate) struct Outputs {
    pub(crate) out: ConsoleStream,
    pub(crate) err: ConsoleStream,
    /// Where standard error is a terminal.
    pub(crate) screen: Option<Screen>,
    /// Who waits until all pods are ready, and gets what peapod itself has to say until then.
    pub(crate) waiting: Option<Box<dyn Write + Send>>,
}

/// One of the two streams.
pub(crate) struct ConsoleStream {
    to: Box<dyn Write + Send>,
    is_terminal: bool,
    has_colours: bool,
    lost: LostLines,
}

impl ConsoleStream {
    /// `plain`: without colours whatever it is.
    pub(crate) fn new(to: Box<dyn Write + Send>, is_terminal: bool, plain: bool) -> Self {
        Self { to, is_terminal, has_colours: is_terminal && !plain, lost: LostLines::default() }
    }

    /// Writes a line of a container. What to say of lines that could not be written, unless nobody reads any more.
    fn line(&mut self, name: &str, width: usize, colour: usize, text: &[u8]) -> Result<Option<String>, NobodyReads> {
        let head = head(name, width, self.has_colours.then_some(COLOURS[colour % COLOURS.len()]));
        // A file or a program gets what was written.
        let text = if self.is_terminal { escape::harmless(text) } else { text.into() };
        match emit(&mut self.to, &head, &text) {
            Ok(()) => Ok(self.gap()),
            Err(error) if is_closed(&error, self.is_terminal) => Err(NobodyReads),
            Err(error) => Ok(self.lost.add(&error)),
        }
    }

    /// What to say of lines that are missing, once.
    fn gap(&mut self) -> Option<String> {
        let gap = self.lost.gap();
        self.lost.told();
        gap
    }

    fn note(&mut self, text: &str, width: usize) {
        let head = head("peapod", width, self.has_colours.then_some(1));
        // Without standard error there is nobody to tell; the pod goes on.
        let _ = emit(&mut self.to, &head, one_line(text).as_bytes());
    }
}

/// Nobody reads any more.
struct NobodyReads;

/// What begins the last line for who waits; an exit status follows.
pub(crate) const SETTLED: u8 = 0;

impl Outputs {
    /// Until nobody speaks, or reads, any more. How many lines of containers could not be written.
    fn write_all(&mut self, mut queue: mpsc::UnboundedReceiver<Queued>, room: &WaitingRoom, width: usize) -> u64 {
        while let Some(Queued { line, place }) = queue.blocking_recv() {
            let mut screen = self.screen.take();
            if let Some(screen) = &mut screen {
                screen.take_away(&mut self.err.to);
            }
            let shows = matches!(line, Line::Show);
            let goes_on = self.write(line, width);
            drop(place);
            if let Some(screen) = screen.as_mut().filter(|_| shows) {
                // After the place is free: what is shown from now on has another word of its own.
                screen.shown = room.shown();
            }
            if queue.is_empty() {
                self.tell_left_out(room, width);
            }
            if let Some(screen) = &mut screen {
                // What waits comes at once, and would take it away again.
                if !goes_on || queue.is_empty() {
                    screen.draw(&mut self.err.to);
                }
            }
            self.screen = screen;
            if !goes_on {
                return self.lost();
            }
        }
        if let Some(screen) = &mut self.screen {
            screen.take_away(&mut self.err.to);
        }
        for (gap, stream) in [(self.out.gap(), OutputStream::Out), (self.err.gap(), OutputStream::Err)] {
            self.tell_of(gap, stream, width);
        }
        self.tell_left_out(room, width);
        self.lost()
    }

    fn lost(&self) -> u64 {
        self.out.lost.all() + self.err.lost.all()
    }

    fn tell_of(&mut self, gap: Option<String>, stream: OutputStream, width: usize) {
        if let Some(gap) = gap {
            let name = if stream == OutputStream::Out { "standard output" } else { "standard error" };
            self.err.note(&format!("{name}: {gap}"), width);
        }
    }

    /// Where no note follows that would tell it.
    fn tell_left_out(&mut self, room: &WaitingRoom, width: usize) {
        if let Some(text) = room.left_out() {
            self.write(Line::Note(text), width);
        }
    }

    /// Whether somebody still reads.
    fn write(&mut self, line: Line, width: usize) -> bool {
        match line {
            Line::Show => {}
            Line::Note(text) => {
                if let Some(waiting) = &mut self.waiting
                    && emit(waiting, "", one_line(&text).as_bytes()).is_err()
                {
                    // Who waited has left.
                    self.waiting = None;
                }
                self.err.note(&text, width);
            }
            Line::Settled(status) => {
                if let Some(mut waiting) = self.waiting.take() {
                    let mut last = vec![SETTLED];
                    last.extend_from_slice(status.to_string().as_bytes());
                    // Who waited may have left.
                    let _ = emit(&mut waiting, "", &last);
                }
            }
            Line::Container { colour, name, stream, text } => {
                let to = if stream == OutputStream::Out { &mut self.out } else { &mut self.err };
                match to.line(&name, width, colour, &text) {
                    Ok(gap) => self.tell_of(gap, stream, width),
                    Err(NobodyReads) => return false,
                }
            }
        }
        true
    }
}

/// What stands below all lines of a terminal, and how much of that stands there now.
#[derive(Default)]
pub(crate) struct Screen {
    shown: BTreeMap<String, Vec<String>>,
    drawn: usize,
}

impl Screen {
    fn take_away(&mut self, to: &mut impl Write) {
        if self.drawn > 0 {
            // A terminal that is gone shows nothing.
            let _ = write!(to, "\x1b[{}A\r\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    /// As much as fits, no line over two rows: else taking it away would leave some.
    fn draw(&mut self, to: &mut impl Write) {
        let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
        let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
        let (columns, rows) = size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or((80, 24));
        let lines: Vec<&String> = self.shown.values().flatten().take(rows.saturating_sub(2)).collect();
        let cut = |line: &&String| one_line(line).chars().take(columns - 1).chain(['\n']).collect::<String>();
        let text: String = lines.iter().map(cut).collect();
        if !text.is_empty() && to.write_all(text.as_bytes()).and_then(|()| to.flush()).is_ok() {
            self.drawn = lines.len();
        }
    }
}

fn head(name: &str, width: usize, colour: Option<u8>) -> String {
    match colour {
        _ if name.is_empty() => String::new(),
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
