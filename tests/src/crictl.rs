//! crictl, which people use: the client of exec, attach and port-forward.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use crate::{Daemon, Dialogue, Output, Programs, default_timeout};

impl Daemon {
    /// A call of crictl.
    #[must_use]
    pub fn crictl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&Programs::get().crictl);
        command.args(["--timeout", "30s", "--runtime-endpoint"]).arg(self.crictl_endpoint()).args(arguments);
        command
    }

    /// What a call of crictl ends with, that reads this.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn crictl_with(&self, stdin: &[u8], arguments: &[&str]) -> Output {
        let mut command = self.crictl(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("crictl does not start");
        let (mut input, bytes) = (child.stdin.take().unwrap(), stdin.to_vec());
        // One that ends early does not read all.
        let fed = async move { drop((input.write_all(&bytes).await, input)) };
        let (_, output) = tokio::join!(fed, timeout(default_timeout() * 2, child.wait_with_output()));
        let output = output.unwrap_or_else(|_| panic!("crictl {arguments:?} does not end")).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// A crictl with which the test speaks.
    #[must_use]
    pub fn dialogue(&self, arguments: &[&str]) -> Dialogue {
        Dialogue::start(self.crictl(arguments))
    }

    /// The same with a terminal of that size, in which its errors appear too.
    #[must_use]
    pub fn terminal_dialogue(&self, size: (u16, u16), arguments: &[&str]) -> Dialogue {
        let crictl = Programs::get().crictl.display();
        let (endpoint, arguments) = (self.crictl_endpoint(), arguments.join(" "));
        Dialogue::in_terminal(size, &format!("exec {crictl} --runtime-endpoint {endpoint} {arguments}"))
    }

    fn crictl_endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}
