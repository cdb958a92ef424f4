//! Lines that could not be written. A full disk is no reason to end what writes them: who reads is told what is
//! missing.

use std::io;

/// Of one stream.
#[derive(Debug, Default)]
pub(crate) struct LostLines {
    /// Since something was written last.
    now: u64,
    all: u64,
    why: String,
}

impl LostLines {
    /// One more; what to say of it, at the first.
    pub(crate) fn add(&mut self, error: &io::Error) -> Option<String> {
        self.add_some(1, error)
    }

    /// So many more.
    pub(crate) fn add_some(&mut self, lines: u64, error: &io::Error) -> Option<String> {
        let is_first = self.now == 0;
        self.now += lines;
        self.all += lines;
        self.why = error.to_string();
        is_first.then(|| format!("lines are left out until they can be written: {}", self.why))
    }

    /// Something can be written again; what to say of what could not.
    pub(crate) fn gap(&self) -> Option<String> {
        let lines = if self.now == 1 { "1 line is" } else { &format!("{} lines are", self.now) };
        (self.now > 0).then(|| format!("{lines} left out here: {}", self.why))
    }

    /// It was said.
    pub(crate) fn told(&mut self) {
        self.now = 0;
    }

    /// How many there were in all.
    pub(crate) fn all(&self) -> u64 {
        self.all
    }
}

/// Whether nobody reads any more: of a terminal that was hung up the kernel says something else than of a pipe.
pub(super) fn is_closed(error: &io::Error, is_terminal: bool) -> bool {
    let hung_up = is_terminal && error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    error.kind() == io::ErrorKind::BrokenPipe || hung_up
}
