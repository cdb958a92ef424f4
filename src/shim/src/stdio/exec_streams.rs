//! Where a command's streams lead: to what the master names, or to a session.

use std::process::Stdio;

use peapod_streaming_protocol::CommandStreams;
use rustix::pipe::{PipeFlags, pipe_with};

use super::handed::{HandedStreams, failed};
use super::plan::{Ours, ProcessStreams, Uris};
use crate::error::Error;
use crate::users::StreamGiver;

/// Where a command's streams lead.
#[derive(Debug)]
pub(crate) enum ExecStreams {
    /// Where the master says.
    Uris(Uris),
    /// To a session.
    Session(CommandStreams),
}

impl ExecStreams {
    pub(crate) fn terminal(&self) -> bool {
        match self {
            Self::Uris(uris) => uris.terminal,
            Self::Session(streams) => streams.tty,
        }
    }

    /// As the master gave them; those of a session have none.
    pub(crate) fn uris(&self) -> Uris {
        match self {
            Self::Uris(uris) => uris.clone(),
            Self::Session(streams) => Uris { terminal: streams.tty, ..Uris::default() },
        }
    }

    pub(crate) fn open(&self, giver: StreamGiver<'_>) -> Result<ProcessStreams, Error> {
        match self {
            Self::Uris(uris) => uris.open(giver),
            Self::Session(streams) => open(*streams, giver),
        }
    }
}

fn open(wanted: CommandStreams, giver: StreamGiver<'_>) -> Result<ProcessStreams, Error> {
    let mut handed = HandedStreams::of(wanted);
    let mut stream = |asked: bool, is_input: bool| -> Result<Stdio, Error> {
        if !asked || wanted.tty {
            return giver.nothing();
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).map_err(failed())?;
        let (theirs, far) = if is_input { (read, write) } else { (write, read) };
        handed.add(far)?;
        giver.give(theirs)
    };
    let process = [stream(wanted.stdin, true)?, stream(wanted.stdout, false)?, stream(wanted.stderr, false)?];
    Ok(ProcessStreams { process, ours: Ours::handing(handed) })
}
