//! Commands of the built `peapod`, and what they say until they end.

use std::process::Output;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::{Daemon, at_most};

/// Longer than any of them takes that ends.
const LIMIT: Duration = Duration::from_secs(90);

/// An exit status, which is -1 after a signal, and all that was written to standard output and to standard error.
pub type Said = (i32, String, String);

/// What something has said that has ended.
#[must_use]
pub fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Runs a command to its end.
///
/// # Panics
/// When it can't be started, or does not end.
pub async fn ended(mut command: Command) -> Said {
    let output = tokio::time::timeout(at_most(LIMIT), command.output());
    said(&output.await.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap())
}

/// Waits for the end of one that was started.
///
/// # Panics
/// When it does not end.
pub async fn end(child: Child) -> Said {
    said(&tokio::time::timeout(at_most(LIMIT), child.wait_with_output()).await.expect("it ends").unwrap())
}

/// What `peapod` says to these arguments.
///
/// # Panics
/// When it does not end.
pub async fn client(daemon: &Daemon, arguments: &[&str]) -> Said {
    ended(daemon.client(arguments)).await
}

/// The standard output of one that goes well.
///
/// # Panics
/// When it does not.
pub async fn done(daemon: &Daemon, arguments: &[&str]) -> String {
    let (code, out, err) = client(daemon, arguments).await;
    assert_eq!(code, 0, "peapod {arguments:?}: {out}{err}");
    out
}
