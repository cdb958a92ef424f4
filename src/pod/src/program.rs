//! Running one of the node's programs to its end.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How much of its words is told.
const WORDS: usize = 400;

/// Runs a program, which is killed when its time is over or the future is dropped. The error says why it failed in its
/// own words.
pub(crate) async fn run(program: &OsStr, args: &[&str], input: &[u8]) -> io::Result<()> {
    match timeout(LIMIT, to_its_end(program, args, input)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(io::Error::other(format!("it did not end within {} s", LIMIT.as_secs()))),
    }
}

async fn to_its_end(program: &OsStr, args: &[&str], input: &[u8]) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // What it thinks of the text comes with its end.
        let _ = stdin.write_all(input).await;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    let words: String = String::from_utf8_lossy(&output.stderr).chars().take(WORDS).collect();
    Err(io::Error::other(format!("{}: {}", output.status, words.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, input: &[u8]) -> Result<(), String> {
        run("/bin/sh".as_ref(), &["-c", script], input).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn its_end_and_its_words() {
        assert_eq!(sh("cat >/dev/null", b"text").await, Ok(()));
        assert_eq!(sh("read word; echo no $word >&2; exit 3", b"text\n").await.unwrap_err(), "exit status: 3: no text");
        assert!(sh("exec >&-; head -c 100000 /dev/zero >&2; exit 1", b"").await.unwrap_err().len() < 2 * WORDS);
        assert_eq!(sh("exit 0", &[b'x'; 1 << 20]).await, Ok(()), "it need not read");
        let missing = run("/missing".as_ref(), &[], b"").await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
