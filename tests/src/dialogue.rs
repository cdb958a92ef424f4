//! A client with which a test speaks, as a person does at a terminal.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::default_timeout;

/// How long is waited for what may not come.
const MOMENT: Duration = Duration::from_millis(200);

/// A client with which a test speaks. It is killed when this is dropped.
pub struct Dialogue {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    heard: String,
}

impl Dialogue {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("the client does not start");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, stdin, stdout, heard: String::new() }
    }

    /// A shell's line in a terminal of its own with that size, in which errors appear too.
    pub(crate) fn in_terminal((rows, columns): (u16, u16), line: &str) -> Self {
        let line = format!("stty rows {rows} cols {columns}; {line}");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]);
        Self::start(command)
    }

    /// Writes to its input.
    ///
    /// # Panics
    /// When that was closed.
    pub async fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its input is closed");
        stdin.write_all(text.as_bytes()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Ends its input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Waits for a text in its output; answers what came up to there.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn hear(&mut self, text: &str) -> String {
        let came = timeout(default_timeout(), async {
            loop {
                if let Some(at) = self.heard.find(text) {
                    let rest = self.heard.split_off(at + text.len());
                    return std::mem::replace(&mut self.heard, rest);
                }
                assert!(self.read().await, "{text:?} did not come, and nothing more will: {:?}", self.heard);
            }
        });
        came.await.unwrap_or_else(|_| panic!("{text:?} did not come in time"))
    }

    /// Whether a text was in its output, or comes at once.
    pub async fn has_said(&mut self, text: &str) -> bool {
        let comes = async { while !self.heard.contains(text) && self.read().await {} };
        let _ = timeout(MOMENT, comes).await;
        self.heard.contains(text)
    }

    /// Waits for its end; answers its exit code and what it had yet to say.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(mut self) -> (i32, String) {
        self.close();
        let ended = timeout(default_timeout(), async {
            while self.read().await {}
            self.child.wait().await.unwrap()
        });
        let status = ended.await.expect("the client does not end");
        (status.code().unwrap_or(-1), std::mem::take(&mut self.heard))
    }

    /// Kills it, as a client dies.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let count = self.stdout.read(&mut buffer).await.unwrap_or(0);
        self.heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }
}
