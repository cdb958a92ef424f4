//! Lines that could not be written. A full disk is no reason to end what writes them: who reads is told what is
//! missing.

use std::io;

/// Of one stream: a log, a terminal, a pipe.
#[derive(Debug, Default)]
pub struct LostLines {
    /// Since something was written last.
    now: u64,
    all: u64,
    why: String,
}

impl LostLines {
    /// One more, and why; what to say of it, at the first.
    pub fn add(&mut self, error: &io::Error) -> Option<String> {
        self.add_some(1, error)
    }

    /// So many more.
    pub fn add_some(&mut self, lines: u64, error: &io::Error) -> Option<String> {
        let is_first = self.now == 0;
        self.now += lines;
        self.all += lines;
        self.why = error.to_string();
        is_first.then(|| format!("lines are left out until they can be written: {}", self.why))
    }

    /// Something can be written again; what to say of what could not.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        let lines = if self.now == 1 { "1 line is" } else { &format!("{} lines are", self.now) };
        (self.now > 0).then(|| format!("{lines} left out here: {}", self.why))
    }

    /// It was said.
    pub fn told(&mut self) {
        self.now = 0;
    }

    /// How many there were in all.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.all
    }
}
