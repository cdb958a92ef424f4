//! The client side of the `peapod` binary.

use std::process::Stdio;

use tokio::process::Command;

use crate::{Daemon, Dialogue, Programs};

impl Daemon {
    /// A call of `peapod` as a client, whose output is read.
    #[must_use]
    pub fn client(&self, arguments: &[&str]) -> Command {
        // As from a terminal: the tests themselves may be started by who ignores signals, in the background or by
        // nohup.
        let mut command = Command::new("env");
        command
            .arg("--default-signal")
            .arg(&Programs::get().peapod)
            .args(arguments)
            .env("PEAPOD_ENDPOINT", self.client_endpoint())
            .env("PEAPOD_RUN_DIR", self.path("run-dir"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// One with which the test speaks.
    #[must_use]
    pub fn client_dialogue(&self, arguments: &[&str]) -> Dialogue {
        Dialogue::start(self.client(arguments))
    }

    /// A shell's line in a terminal of that size, in which `$PEAPOD` is the client. Errors appear there, too.
    #[must_use]
    pub fn client_terminal(&self, size: (u16, u16), line: &str) -> Dialogue {
        let (peapod, endpoint) = (Programs::get().peapod.display(), self.client_endpoint());
        Dialogue::in_terminal(size, &format!("PEAPOD={peapod}; export PEAPOD_ENDPOINT={endpoint}; {line}"))
    }

    fn client_endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}
