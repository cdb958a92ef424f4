//! From the master's URIs to descriptors for a process, and to what the shim does with the other ends.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use peapod_shim_protocol::LOG_SCHEME;
use peapod_sys::watched;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::task::JoinHandle;

use super::copy::{self, Sink};
use super::cri_log::CriLog;
use super::fifo;
use super::handed::HandedStreams;
use super::output::ContainerOutput;
use crate::error::Error;
use crate::tasks;
use crate::users::StreamGiver;

/// As the master gave them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uris {
    pub(crate) stdin: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) terminal: bool,
    /// Bytes per second by which a log may grow on disk; 0 for any.
    pub(crate) log_rate: u64,
}

/// Where a stream goes.
#[derive(Debug, PartialEq, Eq)]
enum Destination {
    Null,
    Log(PathBuf),
    Fifo(PathBuf),
}

/// Everything opened for one process.
pub(crate) struct ProcessStreams {
    /// The process's own ends; with a terminal the runtime makes them and these are nothing.
    pub(crate) process: [Stdio; 3],
    /// Ours.
    pub(crate) ours: Ours,
}

/// What the shim holds of a process's streams.
#[derive(Default)]
pub(crate) struct Ours {
    pub(crate) output: Option<ContainerOutput>,
    /// Keeps the input from ending; dropped by CloseIO.
    pub(crate) stdin: Option<OwnedFd>,
    pipes: [Option<OwnedFd>; 2],
    terminal_out: Option<OwnedFd>,
    /// Those that a session gets.
    pub(crate) handed: HandedStreams,
}

/// Whose output nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unclaimed {
    /// A command's: it goes nowhere.
    Dropped,
    /// A container's: it is read, for those who read along.
    Read,
}

impl Uris {
    /// Opens everything for a command. An error leaves nothing but an empty log file.
    pub(crate) fn open(&self, giver: StreamGiver<'_>) -> Result<ProcessStreams, Error> {
        self.open_with(giver, Unclaimed::Dropped)
    }

    /// The same for a container, which can be attached to also if it has no log.
    pub(crate) fn open_container(&self, giver: StreamGiver<'_>) -> Result<ProcessStreams, Error> {
        self.open_with(giver, Unclaimed::Read)
    }

    fn open_with(&self, giver: StreamGiver<'_>, unclaimed: Unclaimed) -> Result<ProcessStreams, Error> {
        let stdout = destination("stdout", &self.stdout)?;
        let stderr = destination("stderr", &self.stderr)?;
        let mut ours = Ours::default();
        if unclaimed == Unclaimed::Read && stdout == Destination::Null {
            ours.output = Some(ContainerOutput::without_log());
        }
        if let Destination::Log(path) =
            [&stdout, &stderr].into_iter().find(|out| matches!(out, Destination::Log(_))).unwrap_or(&stdout)
        {
            if let Destination::Log(other) = &stderr
                && other != path
            {
                let why = format!("must be the log of stdout, {:?}, or none", path.display());
                return Err(Error::Invalid { field: "stderr", why });
            }
            let log = CriLog::open(path, self.log_rate).map_err(Error::io("open log", path))?;
            ours.output = Some(ContainerOutput::with_log(log));
        }
        if self.terminal {
            return self.open_terminal(&stdout, ours, giver);
        }
        let stdin = if self.stdin.is_empty() {
            giver.nothing()?
        } else {
            let (theirs, keep) = fifo::for_reading(Path::new(&self.stdin))?;
            ours.stdin = Some(keep);
            giver.give(theirs)?
        };
        let is_read = ours.output.is_some() && unclaimed == Unclaimed::Read;
        let [out, err] = &mut ours.pipes;
        let process = [stdin, end(&stdout, out, giver, is_read)?, end(&stderr, err, giver, is_read)?];
        Ok(ProcessStreams { process, ours })
    }

    fn open_terminal(
        &self,
        stdout: &Destination,
        mut ours: Ours,
        giver: StreamGiver<'_>,
    ) -> Result<ProcessStreams, Error> {
        if let Destination::Fifo(path) = stdout {
            ours.terminal_out = Some(fifo::for_writing(path)?);
        }
        if !self.stdin.is_empty() {
            let (_, keep) = fifo::for_reading(Path::new(&self.stdin))?;
            ours.stdin = Some(keep);
        }
        Ok(ProcessStreams { process: [giver.nothing()?, giver.nothing()?, giver.nothing()?], ours })
    }
}

impl Ours {
    /// Nothing but what a session gets.
    pub(super) fn handing(handed: HandedStreams) -> Self {
        Self { handed, ..Self::default() }
    }

    /// Starts reading the process's output; the task ends with the output.
    pub(crate) fn pump(&mut self) -> Result<Option<JoinHandle<()>>, Error> {
        let Some(output) = self.output.clone() else { return Ok(None) };
        let path = Path::new("a pipe");
        let mut watch = |index: usize| self.pipes[index].take().map(watched).transpose();
        let stdout = watch(0).map_err(Error::io("watch", path))?;
        let stderr = watch(1).map_err(Error::io("watch", path))?;
        Ok(Some(tasks::spawn(copy::to_output(stdout, stderr, output))))
    }

    /// Connects a command's terminal: to a session, which moves its bytes itself, or as the others are.
    pub(crate) fn connect_terminal(&mut self, terminal: &OwnedFd) -> Result<Option<Pumps>, Error> {
        if self.handed.add_terminal(terminal)? {
            return Ok(None);
        }
        self.pump_terminal(terminal).map(Some)
    }

    /// Connects a terminal: its output to the log and its readers, or to a FIFO, its input to the FIFO. The task ends
    /// with the output.
    pub(crate) fn pump_terminal(&mut self, terminal: &OwnedFd) -> Result<Pumps, Error> {
        let path = Path::new("a terminal");
        let fail = Error::io("watch", path);
        let mut ends = || {
            let output = watched(terminal.try_clone()?)?;
            let sink = match (self.output.clone(), self.terminal_out.take()) {
                (Some(output), _) => Sink::Output(output),
                (None, Some(fifo)) => Sink::Fifo(watched(fifo)?),
                (None, None) => Sink::Null,
            };
            let input = match self.stdin.take() {
                Some(fifo) => Some((watched(fifo)?, watched(terminal.try_clone()?)?)),
                None => None,
            };
            Ok((output, sink, input))
        };
        let (output, sink, input) = ends().map_err(fail)?;
        let output = tasks::spawn(copy::from_terminal(output, sink));
        let input = input.map(|(fifo, terminal)| tasks::spawn(async move { copy::copy(&fifo, &terminal).await }));
        Ok(Pumps { output, input })
    }
}

/// The tasks that serve a terminal.
pub(crate) struct Pumps {
    pub(crate) output: JoinHandle<()>,
    /// Ends when it is aborted: the shim holds the FIFO open itself.
    pub(crate) input: Option<JoinHandle<()>>,
}

fn destination(field: &'static str, uri: &str) -> Result<Destination, Error> {
    if uri.is_empty() {
        return Ok(Destination::Null);
    }
    let (log, path) = match uri.strip_prefix(LOG_SCHEME) {
        Some(path) => (true, path),
        None => (false, uri),
    };
    if !path.starts_with('/') || path.contains("/../") || path.contains("://") {
        let why = format!("{uri:?} is neither {LOG_SCHEME}<absolute path> nor the absolute path of a FIFO");
        return Err(Error::Invalid { field, why });
    }
    Ok(if log { Destination::Log(path.into()) } else { Destination::Fifo(path.into()) })
}

/// The process's end of an output; one without a destination may be read all the same.
fn end(
    output: &Destination,
    ours: &mut Option<OwnedFd>,
    giver: StreamGiver<'_>,
    is_read: bool,
) -> Result<Stdio, Error> {
    let path = match output {
        Destination::Null if is_read => Path::new("output"),
        Destination::Null => return giver.nothing(),
        Destination::Fifo(path) => return giver.give(fifo::for_writing(path)?),
        Destination::Log(path) => path,
    };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(Error::errno("make a pipe for", path))?;
    *ours = Some(read);
    giver.give(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_uris() {
        let check = |uri: &str| destination("stdout", uri).map_err(|error| error.to_string());
        assert_eq!(check(""), Ok(Destination::Null));
        assert_eq!(check("/run/f"), Ok(Destination::Fifo("/run/f".into())));
        assert_eq!(check("peapod-log:///l/0.log"), Ok(Destination::Log("/l/0.log".into())));
        for bad in ["file:///x", "binary:///x?y", "relative", "peapod-log://x", "/a/../b"] {
            assert!(check(bad).unwrap_err().contains(bad), "{bad}");
        }
    }
}
